"""A backend that is killed while many tunnels use it, and comes back."""

from __future__ import annotations

import asyncio
from typing import Final

from tests.support.echo import echoing
from tests.support.fleet import FULL, call, endings, faults, fleet, leave, traffic
from tests.support.sidecar import Sidecar, route
from tests.support.waiting import eventually

TUNNELS: Final = 4000 if FULL else 400


async def test_a_killed_backend_costs_everyone_a_close_and_nothing_is_left_of_it() -> None:
    with echoing() as backend, Sidecar([route(backend.port)]) as sidecar:
        await leave([await call(sidecar.port)])
        await eventually(lambda: sidecar.connections() == [])
        at_rest = sidecar.descriptors()

        async with fleet(sidecar.port, TUNNELS) as tunnels, traffic(tunnels, rate=1000):
            await asyncio.sleep(1)
            backend.kill()
            await eventually(lambda: not any(tunnel.live for tunnel in tunnels))
        away = await call(sidecar.port)
        backend.start()
        async with fleet(sidecar.port, TUNNELS) as again, traffic(again, rate=1000):
            await asyncio.sleep(1)

        await eventually(lambda: sidecar.connections() == [])
        await eventually(lambda: sidecar.descriptors() <= at_rest)
        assert {(ending.code, ending.reason) for ending in endings(tunnels)} <= {
            (1001, "backend has ended the connection"),
            (1011, "connection to the backend broke"),
        }
        assert away.status == 502
        assert faults(tunnels) + faults(again) == []
        assert sum(tunnel.echoes for tunnel in again) > 0
        assert sidecar.errors() == []
        await leave([away])
