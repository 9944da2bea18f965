from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest

from tests.operator.build import changed, pod
from tests.operator.fakes import FakeKube
from tests.support.waiting import eventually
from wsroute_operator import rotation
from wsroute_operator.index import KINDS, Index
from wsroute_operator.keys import Keyring, KeyStore, fresh, parse
from wsroute_operator.objects import Pod, Sidecar
from wsroute_operator.rotation import aged, free, rotate

HOUR, DAY = 3600, 86400
NOW = 1_750_000_000.0
OLD, OLDER, RECENT = (next(iter(fresh(NOW - age))) for age in (5 * DAY, 9 * DAY, HOUR / 2))


def test_the_age_of_the_newest_key_decides() -> None:
    assert aged({OLD, OLDER}, NOW, 5 * DAY)
    assert not aged({OLD, OLDER}, NOW, 5 * DAY + 1)
    assert not aged({"by-hand"}, NOW, 1)
    assert not aged((), NOW, 1)


@pytest.mark.parametrize(
    ("names", "needed", "expected"),
    [
        pytest.param((OLDER, OLD), (), [OLDER], id="superseded"),
        pytest.param((OLDER, OLD), (OLDER,), [], id="needed"),
        pytest.param((OLD,), (), [], id="the only one"),
        pytest.param((OLDER, OLD, RECENT), (), [OLDER], id="superseded only now"),
        pytest.param(("0-by-hand", OLD), (), [], id="made by others"),
        pytest.param((OLD, "x-by-hand"), (), [], id="superseded by others, nobody knows when"),
    ],
)
def test_which_keys_may_go(
    names: tuple[str, ...], needed: tuple[str, ...], expected: list[str]
) -> None:
    assert list(free({name: name for name in names}, needed, NOW)) == expected


class Stage:
    """A Secret with keys of these ages in days, and a leader that rotates them."""

    def __init__(self, *ages: float) -> None:
        self.kube, self.index = FakeKube(), Index()
        self.kube.secrets["keys"] = {}
        for age in ages:
            self.kube.secrets["keys"] |= fresh(time.time() - age * DAY)
        self.store = KeyStore(self.kube, "keys")

    def public(self) -> list[str]:
        return Keyring(parse(self.kube.secrets["keys"])).public()

    def pod(self, name: str, *keys: str) -> Pod:
        made = pod(name, sidecar=Sidecar(keys=keys, container_id="c", started=True))
        self.index.put(made, 1)
        return made

    def complete(self) -> None:
        for kind in KINDS:
            self.index.reconcile(kind, (), {})

    @asynccontextmanager
    async def rotating(self) -> AsyncIterator[None]:
        await self.store.load()
        task = asyncio.create_task(rotate(self.store, self.index, 3))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rotation, "_CHECK_SECONDS", 0.01)


async def test_a_key_that_is_old_is_followed_by_one_that_is_used_at_once() -> None:
    stage = Stage(4)
    (old,) = stage.public()
    stage.complete()
    async with stage.rotating():
        await eventually(lambda: len(stage.store.keyring.public()) == 2, "another key")
        await asyncio.sleep(0.05)
        before, newest = stage.public()
        assert before == old
        signer = stage.store.keyring.trusted_by([old, newest])
        assert signer == parse(stage.kube.secrets["keys"])[1]


async def test_a_key_goes_with_the_last_pod_that_depends_on_it() -> None:
    stage = Stage(9, 2, 1)
    first, second, third = stage.public()
    old = stage.pod("old", first, second)
    stage.pod("new", second, third)
    async with stage.rotating():
        await asyncio.sleep(0.05)
        assert stage.public() == [first, second, third], "not all pods are known yet"
        stage.complete()
        await eventually(lambda: stage.public() == [second, third], "the first dropped")
        await asyncio.sleep(0.05)
        assert stage.public() == [second, third]
        stage.index.put(changed(old, deleting=True), 2)
        await eventually(lambda: stage.public() == [third], "the second dropped")


async def test_an_api_server_that_is_away_is_asked_again() -> None:
    stage = Stage(4)
    stage.complete()
    async with stage.rotating():
        stage.kube.away = True
        await asyncio.sleep(0.05)
        stage.kube.away = False
        await eventually(lambda: len(stage.public()) == 2, "another key")


def test_only_live_pods_with_a_sidecar_need_keys() -> None:
    stage = Stage(1)
    ring, (key,) = Keyring(parse(stage.kube.secrets["keys"])), stage.public()
    living = stage.pod("p", key, "of-another-operator")
    assert ring.needed([living]) == {key}
    gone = msgspec.structs.replace(living, phase="Succeeded")
    assert ring.needed([gone, pod("bare", sidecar=None), stage.pod("q", "unknown")]) == set()
