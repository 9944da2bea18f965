"""Managing thousands of tunnels while others carry messages."""

from __future__ import annotations

import asyncio
from typing import Final

from tests.support.echo import echoing
from tests.support.fleet import FULL, endings, faults, fleet, traffic
from tests.support.sidecar import Sidecar, route
from tests.support.waiting import eventually

TUNNELS: Final = 4000 if FULL else 1500


async def test_closing_and_listing_a_route_of_thousands_leaves_the_others_their_turns() -> None:
    with echoing() as backend:
        routes = [
            route(backend.port, name="crowd", hostnames=["crowd.test"]),
            route(backend.port, name="few"),
        ]
        with Sidecar(routes) as sidecar:
            async with (
                fleet(sidecar.port, TUNNELS, host="crowd.test") as crowd,
                fleet(sidecar.port, 20) as few,
            ):
                async with traffic(few, rate=400):
                    listed = await asyncio.to_thread(sidecar.connections)
                    order = {"route": "default/crowd", "code": 4000, "reason": "moved"}
                    done = await asyncio.to_thread(sidecar.ask, "POST", "/v1/close", order)
                    await eventually(lambda: not any(tunnel.live for tunnel in crowd))
                for tunnel in few:
                    await tunnel.exchange()

        assert len(listed) == TUNNELS + 20
        assert done == {"closed": TUNNELS}
        assert {(ending.code, ending.reason) for ending in endings(crowd)} == {(4000, "moved")}
        assert faults(few) == []
        assert sidecar.errors() == []
