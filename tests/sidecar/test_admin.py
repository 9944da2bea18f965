"""Which snapshots are taken, and that a refused one leaves everything as it was."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from nacl.signing import SigningKey

from tests.support.sidecar import route
from wsroute_api import snapshot
from wsroute_api.problems import route_from_object
from wsroute_api.types import Table
from wsroute_sidecar.admin import Rejected, Snapshots
from wsroute_sidecar.config import Settings
from wsroute_sidecar.drain import Drainer
from wsroute_sidecar.metrics import Metrics
from wsroute_sidecar.routes import Live
from wsroute_sidecar.serving import Serving
from wsroute_sidecar.tunnels import Tunnels

KEY = SigningKey(b"k" * 32)
OTHER = SigningKey(b"o" * 32)
NOW = 1000.0


class Pod:
    """A sidecar's way in for snapshots, with what it keeps in `state`."""

    def __init__(
        self,
        state: Path,
        *,
        keys: tuple[SigningKey, ...] = (KEY,),
        bootstrap: bytes = b"",
        nonce: str = "n1",
    ) -> None:
        texts = tuple(snapshot.key_text(key.verify_key) for key in keys)
        settings = Settings(
            namespace="shop",
            pod_uid="uid-1",
            public_keys=texts,
            state=state,
            bootstrap=bootstrap,
            nonce=nonce,
        )
        tunnels = Tunnels(lambda: NOW, 10, Metrics())
        self.live = Live()
        self.snapshots = Snapshots(settings, Serving(self.live, Drainer(tunnels)))

    def push(self, token: bytes, now: float = NOW) -> tuple[int, int]:
        return asyncio.run(self.snapshots.accept(token, now)).version

    def ports(self) -> list[int]:
        """The ports that are served."""
        return [] if self.live.table is None else [p.port for p in self.live.table.policies()]


@pytest.fixture
def pod(tmp_path: Path) -> Pod:
    return Pod(tmp_path / "snapshot.jws")


def table(*ports: int | str, namespace: str = "shop", routes_in: str = "shop") -> Table:
    routes = []
    for port in ports:
        manifest = route(port, name=f"r{port}")
        manifest["metadata"]["namespace"] = routes_in
        routes.append(route_from_object(manifest))
    return Table(namespace=namespace, routes=routes)


def token(
    content: Table | bytes,
    *,
    epoch: int = 1,
    seq: int = 1,
    aud: str = "uid-1",
    exp: int = 1060,
    key: SigningKey = KEY,
) -> bytes:
    raw = content if isinstance(content, bytes) else snapshot.encode_table(content)
    return snapshot.sign(raw, key, aud=aud, epoch=epoch, seq=seq, iat=990, exp=exp)


def test_a_good_snapshot_is_served(pod: Pod) -> None:
    assert pod.push(token(table(1))) == (1, 1)
    assert pod.ports() == [1]


def test_an_empty_snapshot_counts(pod: Pod) -> None:
    pod.push(token(table()))
    assert pod.live.table is not None


def test_a_newer_snapshot_replaces_an_older_one(pod: Pod) -> None:
    pod.push(token(table(1), seq=5))
    assert pod.push(token(table(2), epoch=2, seq=1)) == (2, 1)
    assert pod.ports() == [2]


@pytest.mark.parametrize(
    ("epoch", "seq"), [(2, 4), (2, 5), (1, 9)], ids=["lower", "equal", "an older epoch"]
)
def test_an_older_snapshot_with_other_content_is_answered_409(
    pod: Pod, epoch: int, seq: int
) -> None:
    pod.push(token(table(1), epoch=2, seq=5))
    with pytest.raises(Rejected) as refused:
        pod.push(token(table(2), epoch=epoch, seq=seq))
    assert refused.value.status == 409
    assert pod.ports() == [1]


def test_an_older_snapshot_with_the_content_in_use_is_no_mistake(pod: Pod) -> None:
    pod.push(token(table(1), epoch=2, seq=5))
    assert pod.push(token(table(1), epoch=1, seq=1)) == (2, 5)


def test_equal_content_in_a_newer_snapshot_is_not_compiled_again(pod: Pod) -> None:
    pod.push(token(table(1)))
    compiled = pod.live.table
    assert pod.push(token(table(1), seq=2)) == (1, 2)
    assert pod.live.table is compiled


REFUSED = [
    pytest.param(token(table(2), key=OTHER), 403, "not trusted", id="signed by another"),
    pytest.param(b"", 403, "not trusted", id="nothing"),
    pytest.param(token(table(2), exp=999), 403, "deadline", id="too late"),
    pytest.param(token(table(2), aud="uid-2"), 421, "another pod", id="another pod's"),
    pytest.param(token(table(2), aud=""), 421, "another pod", id="nobody's"),
    pytest.param(
        token(table(2, namespace="evil")), 421, "another namespace", id="another namespace's"
    ),
    pytest.param(
        token(table(2, routes_in="evil")), 421, "another namespace", id="a foreign route in it"
    ),
    pytest.param(token(b'{"namespace":"shop","x":1}'), 422, "`x`", id="a field unknown here"),
    pytest.param(token(b"[]"), 422, "does not know", id="no table"),
    pytest.param(token(b"{"), 403, "malformed", id="no JSON"),
    pytest.param(token(table(9300)), 422, "shop/r9300: spec.rules", id="the sidecar's own port"),
    pytest.param(token(table("ws")), 422, "no port 'ws'", id="a port that is not there"),
]


@pytest.mark.parametrize(("bad", "status", "why"), REFUSED)
def test_a_refused_snapshot_leaves_everything_as_it_was(
    pod: Pod, tmp_path: Path, bad: bytes, status: int, why: str
) -> None:
    good = token(table(1), epoch=0)
    pod.push(good)
    with pytest.raises(Rejected, match=why) as refused:
        pod.push(bad)
    assert refused.value.status == status
    assert pod.ports() == [1]
    assert pod.push(good) == (0, 1)
    assert (tmp_path / "snapshot.jws").read_bytes() == good


def test_without_keys_every_snapshot_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Rejected, match="not trusted"):
        Pod(tmp_path / "s", keys=()).push(token(table(1)))


def test_the_last_good_snapshot_outlives_the_process_and_its_own_deadline(tmp_path: Path) -> None:
    state = tmp_path / "snapshot.jws"
    Pod(state).push(token(table(1), epoch=3, seq=7))
    again = Pod(state)
    again.snapshots.restore(NOW)
    assert again.ports() == [1]
    with pytest.raises(Rejected) as refused:
        again.push(token(table(2), epoch=3, seq=6), now=5000.0)
    assert refused.value.status in (403, 409)
    assert not (tmp_path / "snapshot.new").exists()


@pytest.mark.parametrize(
    "kept",
    [
        pytest.param(b"", id="an empty file"),
        pytest.param(token(table(1))[:-9], id="half a snapshot"),
        pytest.param(token(table(1), key=OTHER), id="another's signature"),
        pytest.param(token(table(1), aud="uid-2"), id="another pod's"),
        pytest.param(token(table(9300)), id="one that cannot be served"),
    ],
)
def test_a_kept_snapshot_that_is_not_good_is_as_none(tmp_path: Path, kept: bytes) -> None:
    state = tmp_path / "snapshot.jws"
    state.write_bytes(kept)
    pod = Pod(state)
    pod.snapshots.restore(NOW)
    assert pod.live.table is None
    assert pod.push(token(table(1))) == (1, 1)


def test_nothing_kept_is_nothing_served(pod: Pod) -> None:
    pod.snapshots.restore(NOW)
    assert pod.live.table is None


def test_a_snapshot_is_served_even_where_it_cannot_be_kept(tmp_path: Path) -> None:
    pod = Pod(tmp_path / "not" / "there" / "snapshot.jws")
    pod.push(token(table(1)))
    assert pod.ports() == [1]


def first(content: Table, *, aud: str = "admission/n1", **about: Any) -> bytes:
    """A snapshot as a pod is admitted with."""
    return token(content, aud=aud, epoch=-1, seq=0, **about)


def test_without_a_kept_snapshot_the_one_of_the_admission_is_served_until_the_first_push(
    tmp_path: Path,
) -> None:
    pod = Pod(tmp_path / "s", bootstrap=first(table(1)))
    pod.snapshots.restore(NOW)
    assert pod.ports() == [1]
    assert pod.push(token(table(2), epoch=0, seq=1)) == (0, 1)
    assert pod.ports() == [2]


def test_what_was_pushed_once_is_kept_and_goes_before_the_admission(tmp_path: Path) -> None:
    Pod(tmp_path / "s").push(token(table(2), epoch=0))
    again = Pod(tmp_path / "s", bootstrap=first(table(1)))
    again.snapshots.restore(NOW)
    assert again.ports() == [2]


def test_the_snapshot_of_the_admission_once_served_outlives_its_deadline(tmp_path: Path) -> None:
    given = first(table(1))
    Pod(tmp_path / "s", bootstrap=given).snapshots.restore(NOW)
    again = Pod(tmp_path / "s", bootstrap=given)
    again.snapshots.restore(NOW + 9999)
    assert again.ports() == [1]


@pytest.mark.parametrize(
    "given",
    [
        pytest.param(first(table(1), aud="admission/n2"), id="of another admission"),
        pytest.param(first(table(1), aud="uid-1"), id="that was pushed once"),
        pytest.param(first(table(1), key=OTHER), id="signed by another"),
        pytest.param(first(table(1), exp=999), id="too late"),
        pytest.param(first(table(1, namespace="evil")), id="of another namespace"),
        pytest.param(b"nonsense", id="nonsense"),
    ],
)
def test_a_snapshot_of_the_admission_that_is_not_this_pods_is_as_none(
    tmp_path: Path, given: bytes
) -> None:
    pod = Pod(tmp_path / "s", bootstrap=given)
    pod.snapshots.restore(NOW)
    assert pod.live.table is None
    assert not (tmp_path / "s").exists()


def test_without_a_nonce_no_snapshot_of_an_admission_is_taken(tmp_path: Path) -> None:
    pod = Pod(tmp_path / "s", bootstrap=first(table(1), aud="admission/"), nonce="")
    pod.snapshots.restore(NOW)
    assert pod.live.table is None


def test_a_snapshot_of_an_admission_cannot_be_pushed(pod: Pod) -> None:
    with pytest.raises(Rejected) as refused:
        pod.push(first(table(1)))
    assert refused.value.status == 421
