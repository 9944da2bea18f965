from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from tests.operator.build import pod, route
from tests.operator.fakes import FakeKube
from tests.support.waiting import eventually
from wsroute_operator import conditions
from wsroute_operator.conditions import Finding, PodReport
from wsroute_operator.events import event
from wsroute_operator.kube import ConflictError, NotFoundError
from wsroute_operator.objects import Json, RouteObject
from wsroute_operator.plan import Verdict
from wsroute_operator.status import StatusWriter, View, fact

DONE = PodReport("p", programmed=True)
UNDER_WAY = PodReport("p")


class Scene:
    """One route, what is to be said of it, and the writer."""

    def __init__(self) -> None:
        self.kube = FakeKube()
        self.route: RouteObject | None = route("r")
        self.version = 1
        self.reports = [DONE]
        self.verdict = Verdict(generation=1, pods=(pod("p"),))
        self.writer = StatusWriter(self.kube, self.look)

    def look(self, namespace: str, uid: str) -> View | None:
        assert (namespace, uid) == ("shop", "uid-r")
        seen, reports, verdict = self.route, list(self.reports), self.verdict
        if seen is None:
            return None

        def status(before: Json) -> Json:
            now = "2025-01-01T00:00:00Z"
            return conditions.status(seen, verdict, reports, before=before, now=now)

        return View(seen, self.version, conditions.settled(reports), status)

    def touch(self, *, hurry: bool = False) -> None:
        self.writer.touch("shop", "uid-r", hurry=hurry)

    async def written(self, count: int, seconds: float = 5) -> Json:
        await eventually(lambda: len(self.kube.statuses) >= count, f"{count} writes", seconds)
        assert len(self.kube.statuses) == count
        return self.kube.statuses[-1]


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    it = Scene()
    yield it
    it.writer.close()


async def test_the_first_status_is_written_at_once(scene: Scene) -> None:
    scene.touch()
    assert (await scene.written(1, seconds=0.5))["pods"]["summary"] == "1/1"


async def test_an_equal_status_is_not_written_again(scene: Scene) -> None:
    scene.touch()
    await scene.written(1)
    scene.touch()
    await asyncio.sleep(1.2)
    await scene.written(1)


async def test_what_the_cluster_has_already_is_not_written(scene: Scene) -> None:
    scene.touch()
    known = await scene.written(1)
    other = Scene()
    other.route = route("r")
    other.route = RouteObject(
        uid="uid-r", namespace="shop", name="r", generation=1, route=other.route.route, status=known
    )
    other.touch()
    await asyncio.sleep(0.1)
    assert other.kube.statuses == []
    other.writer.close()


async def test_one_write_tells_of_a_change_and_of_its_outcome(scene: Scene) -> None:
    scene.reports = [UNDER_WAY]
    scene.touch()
    await asyncio.sleep(0.1)
    assert scene.kube.statuses == []
    scene.reports = [DONE]
    scene.touch()
    assert (await scene.written(1, seconds=0.5))["pods"]["summary"] == "1/1"


async def test_an_outcome_that_does_not_come_is_waited_for_a_second(scene: Scene) -> None:
    scene.reports = [UNDER_WAY]
    begun = time.monotonic()
    scene.touch()
    assert (await scene.written(1))["pods"]["summary"] == "0/1"
    assert 0.9 < time.monotonic() - begun < 2.0


async def test_what_was_said_stands_while_a_push_has_yet_to_find_out(scene: Scene) -> None:
    scene.touch()
    await scene.written(1)
    scene.reports = [DONE, UNDER_WAY]
    scene.touch()
    await asyncio.sleep(2.2)
    await scene.written(1)
    scene.reports = [DONE, PodReport("q", failure="it hangs")]
    scene.touch()
    assert (await scene.written(2, seconds=0.5))["pods"]["summary"] == "1/2"


async def test_a_burst_of_changes_is_written_at_most_once_a_second(scene: Scene) -> None:
    scene.touch()
    await scene.written(1)
    begun = time.monotonic()
    for number in range(50):
        scene.reports = [PodReport("p", failure=f"failure {number}")]
        scene.touch()
        await asyncio.sleep(0.01)
    status = await scene.written(2)
    assert time.monotonic() - begun > 0.9
    assert "failure 49" in status["conditions"][2]["message"]


async def test_an_edit_does_not_wait_for_the_second_to_pass(scene: Scene) -> None:
    scene.touch()
    await scene.written(1)
    scene.route = route("r", generation=2)
    scene.touch(hurry=True)
    assert (await scene.written(2, seconds=0.5))["observedGeneration"] == 2


async def test_a_write_that_fails_is_tried_again(scene: Scene) -> None:
    scene.kube.away = True
    scene.touch()
    await asyncio.sleep(0.1)
    scene.kube.away = False
    await scene.written(1)


@pytest.mark.parametrize("error", [NotFoundError, ConflictError])
async def test_a_route_that_has_gone_is_written_to_no_more(
    scene: Scene, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = []

    async def refuse(*_: object) -> int:
        tries.append(1)
        raise error

    monkeypatch.setattr(scene.kube, "apply_status", refuse)
    scene.touch()
    await eventually(lambda: tries, "a try")
    await asyncio.sleep(1.1)
    assert len(tries) == 1


async def test_nothing_is_written_for_a_route_that_is_not_there(scene: Scene) -> None:
    scene.route = None
    scene.touch()
    await asyncio.sleep(0.05)
    assert scene.kube.statuses == []


async def test_a_mistake_is_told_as_an_event_once(scene: Scene) -> None:
    scene.verdict = Verdict(generation=1)
    scene.reports = []
    scene.touch()
    await scene.written(1)
    await eventually(lambda: scene.kube.events, "an event")
    again = Scene()
    again.kube, again.verdict, again.reports = scene.kube, Verdict(generation=1), []
    again.writer = StatusWriter(again.kube, again.look)
    again.touch()
    await scene.written(2)
    (told,) = scene.kube.events.values()
    assert told["reason"] == "NoMatchingPods"
    assert told["regarding"]["uid"] == "uid-r"
    again.writer.close()


def test_an_events_name_and_text_are_within_the_api_servers_bounds() -> None:
    finding = Finding("Accepted", "False", "UnsupportedValue", "x" * 5000)
    made = event(fact(route("r" * 253), finding))
    assert len(made["metadata"]["name"]) <= 253
    assert len(made["note"]) == 1024
