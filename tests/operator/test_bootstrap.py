from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest
from nacl.signing import SigningKey

from tests.operator.build import changed, pod, raw_route, route
from wsroute_api import contract, snapshot
from wsroute_api.types import Table
from wsroute_operator.bootstrap import Bootstrap
from wsroute_operator.index import KINDS, Index
from wsroute_operator.keys import Keyring
from wsroute_operator.objects import Json, route_from_raw
from wsroute_operator.plan import plan

OLD, NEW = SigningKey.generate(), SigningKey.generate()


def unborn(app: str = "chat") -> Json:
    """A pod as it is when it is admitted: without a UID, and here without a name."""
    ports = [{"name": "web", "containerPort": 8080}]
    return {
        "metadata": {"generateName": "chat-", "labels": {"app": app}},
        "spec": {"containers": [{"name": "app", "ports": ports}]},
    }


def bootstrap(
    *routes: Any, complete: bool = True, keys: tuple[SigningKey, ...] = (OLD, NEW)
) -> Any:
    index = Index()
    for item in routes:
        index.put(item, 1)
    if complete:
        for kind in KINDS:
            index.reconcile(kind, (), {})
    return Bootstrap(index, Keyring(keys))


def test_a_pod_gets_the_table_that_a_leader_would_push() -> None:
    mine, other = route("mine", port="web"), route("other", app="other")
    token = bootstrap(mine, other).sign(unborn(), "shop", "n1")
    claims = snapshot.verify(token.encode(), [NEW.verify_key])
    born = changed(pod("p"), labels={"app": "chat"})
    assert bytes(claims.table) == plan("shop", [mine, other], [born]).tables["uid-p"].encoded
    assert claims.aud == "admission/n1"
    assert claims.version < (0, 0), "whatever is pushed is newer"
    assert 3500 < claims.exp - time.time() <= 3600


def test_a_pod_that_no_route_selects_gets_an_empty_table() -> None:
    token = bootstrap(route("r")).sign(unborn("other"), "shop", "n1")
    claims = snapshot.verify(token.encode(), [NEW.verify_key])
    assert msgspec.json.decode(claims.table, type=Table).routes == []


@pytest.mark.parametrize(
    "without",
    [
        pytest.param(bootstrap(route("r"), complete=False), id="all routes known"),
        pytest.param(bootstrap(route("r"), keys=()), id="a key"),
    ],
)
def test_there_is_none_without(without: Bootstrap) -> None:
    assert without.sign(unborn(), "shop", "n1") is None


def test_a_table_too_large_for_an_annotation_is_left_to_the_leader(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def large(count: int) -> list[Any]:
        return [route_from_raw(raw_route(f"r{n}", path=f"/{'x' * 900}{n}")) for n in range(count)]

    token = bootstrap(*large(15)).sign(unborn(), "shop", "n1")
    assert len(token) < contract.BOOTSTRAP_MAX_BYTES
    assert bootstrap(*large(40)).sign(unborn(), "shop", "n1") is None
    assert "bootstrap_too_large" in capsys.readouterr().err
