from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from tests.operator.build import pod, route
from tests.operator.fakes import FakeKube
from tests.support.waiting import eventually
from wsroute_operator import sweep as sweep_
from wsroute_operator.index import KINDS, Index
from wsroute_operator.sweep import DeafError, catch_up, mend, sweep


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep_, "_FIRST_SECONDS", 0.01)


@asynccontextmanager
async def sweeping(kube: FakeKube, index: Index) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(sweep(kube, index, 0.05))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_the_index_is_complete_when_the_watches_have_shown_what_is_listed() -> None:
    kube, index = FakeKube(), Index()
    kube.listed = {"routes": {"uid-r": 1}, "pods": {"uid-p": 2}}
    async with sweeping(kube, index):
        index.put(route("r"), 1)
        await asyncio.sleep(0.1)
        assert not index.complete.is_set()
        index.put(pod("p"), 2)
        await asyncio.wait_for(index.complete.wait(), 5)


async def test_an_object_that_went_before_its_watch_began_is_not_waited_for_for_ever() -> None:
    kube, index = FakeKube(), Index()
    kube.listed = {"routes": {"uid-r": 1}, "pods": {}}
    async with sweeping(kube, index):
        await asyncio.sleep(0.05)
        kube.listed["routes"] = {}
        await asyncio.wait_for(index.complete.wait(), 5)


async def test_a_deletion_that_no_watch_has_shown_is_found() -> None:
    kube, index = FakeKube(), Index()
    index.put(pod("p"), 1)
    async with sweeping(kube, index):
        await eventually(lambda: index.count("pods") == 0, "dropped")


async def test_an_api_server_that_is_away_makes_nothing_disappear() -> None:
    kube, index = FakeKube(), Index()
    index.put(pod("p"), 1)
    kube.away = True
    async with sweeping(kube, index) as task:
        await asyncio.sleep(0.1)
        assert not task.done()
        assert index.count("pods") == 1


@pytest.mark.parametrize(
    "shows",
    [lambda _: None, lambda index: index.put(pod("p"), 5)],
    ids=["unknown object", "old version"],
)
async def test_a_watch_that_does_not_show_what_is_listed_ends_the_operator(
    shows: Callable[[Index], None],
) -> None:
    kube, index = FakeKube(), Index()
    async with sweeping(kube, index) as task:
        await asyncio.wait_for(index.complete.wait(), 5)
        shows(index)
        kube.listed["pods"] = {"uid-p": 9}
        with pytest.raises(DeafError):
            await asyncio.wait_for(task, 5)


async def test_a_watch_that_is_a_little_late_does_not() -> None:
    kube, index = FakeKube(), Index()
    async with sweeping(kube, index) as task:
        await asyncio.wait_for(index.complete.wait(), 5)
        for version in range(1, 40):
            kube.listed["pods"] = {"uid-p": version}
            index.put(pod("p"), version - 1)
            await asyncio.sleep(0.01)
        assert not task.done()


async def test_a_watch_that_begins_anew_is_compared_soon() -> None:
    kube, index = FakeKube(), Index()
    kube.listed["pods"] = {"uid-p": 1}
    index.put(pod("p"), 1)
    index.put(pod("gone"), 1)
    mending = asyncio.create_task(mend(kube, index))
    await asyncio.sleep(0.05)
    assert index.count("pods") == 2, "nothing has happened"
    kube.away = True
    index.relisted.set()
    await asyncio.sleep(0.05)
    kube.away = False
    await eventually(lambda: index.known("pods") == {"uid-p"}, "dropped once it can be known")
    mending.cancel()


async def test_who_is_to_lead_waits_for_what_is_listed_now() -> None:
    kube, index = FakeKube(), Index()
    kube.listed["routes"] = {"uid-r": 1}
    index.put(route("r"), 1)
    for kind in KINDS:
        index.reconcile(kind, (), kube.listed[kind])
    assert index.complete.is_set()
    kube.listed["routes"] = {"uid-r": 2}
    kube.away = True
    waiting = asyncio.create_task(catch_up(kube, index))
    await asyncio.sleep(0.05)
    kube.away = False
    await asyncio.sleep(0.05)
    assert not waiting.done()
    index.put(route("r"), 2)
    await asyncio.wait_for(waiting, 5)


async def test_who_hears_nothing_of_what_is_listed_does_not_lead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sweep_, "_PATIENCE", 0.05)
    kube, index = FakeKube(), Index()
    for kind in KINDS:
        index.reconcile(kind, (), {})
    kube.listed["pods"] = {"uid-p": 1}
    with pytest.raises(DeafError):
        await catch_up(kube, index)
