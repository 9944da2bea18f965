"""Who is ended when: drains in virtual time, over tunnels that only note their end."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import pytest

from tests.support.sidecar import route
from wsroute_api.matching import Facts
from wsroute_api.problems import route_from_object
from wsroute_sidecar.drain import Drainer
from wsroute_sidecar.metrics import Metrics
from wsroute_sidecar.relay_types import Reason, Stats
from wsroute_sidecar.routes import Compiled
from wsroute_sidecar.tunnels import Record, Tunnels

pytestmark = pytest.mark.looptime


class Noted:
    """A tunnel that knows when it was ended first."""

    def __init__(self) -> None:
        self.ended: float | None = None

    def stats(self) -> Stats:
        return Stats(0.0, 0.0, 0, 0, 0, 0, None, None)

    def end(self, reason: Reason, code: int, text: str) -> None:
        if self.ended is None:
            self.ended = asyncio.get_running_loop().time()


class Crowd:
    """`count` tunnels of one route."""

    def __init__(self, count: int, **drain: object) -> None:
        self.time: Final = asyncio.get_running_loop().time
        self._drain: Final = drain
        self._tunnels: Final = Tunnels(self.time, count + 10, Metrics())
        self.drainer: Final = Drainer(self._tunnels)
        self.all: Final[list[Noted]] = []
        for _ in range(count):
            assert self.begin()

    def table(self, port: int) -> Compiled:
        """What is served when the route leads to `port`."""
        manifest: dict[str, Any] = route(port, drain=self._drain)
        return Compiled([route_from_object(manifest)], {})

    def begin(self) -> bool:
        """Whether another tunnel may begin."""
        found = self.table(1).find(Facts("", "/"))
        assert isinstance(found, tuple)
        record = self._tunnels.admit(found[1], "client")
        if not isinstance(record, Record):
            return False
        record.tunnel = Noted()
        self.all.append(record.tunnel)
        return True

    @property
    def ended(self) -> int:
        return sum(tunnel.ended is not None for tunnel in self.all)


async def test_further_changes_do_not_hasten_those_that_leave_already() -> None:
    crowd = Crowd(10, timeout="10s", onRouteChange="Drain")
    for port in range(2, 21):
        crowd.drainer.routes_changed(crowd.table(port))
        await asyncio.sleep(0.1)
    assert crowd.ended == 2
    await asyncio.sleep(8)
    assert crowd.ended == 10


async def test_who_has_not_left_when_a_change_is_taken_back_stays() -> None:
    crowd = Crowd(10, timeout="10s", onRouteChange="Drain")
    crowd.drainer.routes_changed(crowd.table(2))
    await asyncio.sleep(4.5)
    assert crowd.ended == 5
    crowd.drainer.routes_changed(crowd.table(1))
    await asyncio.sleep(20)
    assert crowd.ended == 5
    crowd.drainer.routes_changed(crowd.table(2))
    await asyncio.sleep(10)
    assert crowd.ended == 10


async def test_a_shutdown_is_not_taken_back_with_a_change() -> None:
    crowd = Crowd(10, timeout="10s", onRouteChange="Drain")
    crowd.drainer.routes_changed(crowd.table(2))
    crowd.drainer.drain()
    crowd.drainer.routes_changed(crowd.table(1))
    await asyncio.sleep(10)
    assert crowd.ended == 10


async def test_a_shutdown_hastens_those_that_leave_because_of_a_change() -> None:
    crowd = Crowd(10, timeout="10s", onRouteChange="Drain")
    crowd.drainer.routes_changed(crowd.table(2))
    await asyncio.sleep(0.1)
    crowd.drainer.drain(at_once=True)
    await asyncio.sleep(0.1)
    assert crowd.ended == 10


async def test_others_have_their_turns_while_thousands_are_ended_at_once() -> None:
    crowd = Crowd(1000, timeout="0s")
    crowd.drainer.drain()
    turns = 0
    while crowd.ended < 1000:
        await asyncio.sleep(0)
        turns += 1
    assert turns >= 1000


async def test_who_is_led_here_late_is_taken_in_and_told_to_go_when_nobody_is_any_more() -> None:
    crowd = Crowd(4, timeout="1s")
    crowd.drainer.drain(accept=5)
    await asyncio.sleep(1)
    assert crowd.ended == 4
    assert crowd.begin()
    await asyncio.sleep(3)
    assert crowd.ended == 4
    await asyncio.sleep(1.1)
    assert crowd.ended == 5
    assert not crowd.begin()


async def test_a_shutdown_does_not_wait_for_late_comers() -> None:
    crowd = Crowd(1, timeout="0s")
    crowd.drainer.drain(accept=5)
    assert crowd.begin()
    crowd.drainer.drain()
    assert not crowd.begin()
    await asyncio.sleep(0.1)
    assert crowd.ended == 2
