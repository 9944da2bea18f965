"""Many clients that send and never read, beside some that do both."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

import pytest

from tests.bench.processes import memory
from tests.support.echo import echoing
from tests.support.fleet import FULL, faults, fleet, traffic
from tests.support.sidecar import Sidecar, both_engines, route
from tests.support.stalled import ROOM, fill, stalled
from tests.support.tls import issue, trust
from tests.support.waiting import eventually

pytestmark = both_engines

STALLED: Final = 1000 if FULL else 200
HELD: Final = 256 * 1024
"""Bytes that the sidecar may hold for each of them, both directions together."""


@pytest.mark.parametrize("over_tls", [False, True], ids=["ws", "wss"])
async def test_readers_that_stall_cost_a_bounded_amount_each_and_nobody_else_notices(
    over_tls: bool, tmp_path: Path
) -> None:
    flags = issue(tmp_path, "localhost") if over_tls else ()
    tls = trust(tmp_path) if over_tls else None
    with echoing(ROOM) as backend, Sidecar([route(backend.port)], *flags) as sidecar:
        async with (
            fleet(sidecar.port, 64, tls=tls) as lively,
            stalled(sidecar.port, STALLED, tls) as stuck,
        ):
            before = memory(sidecar.pid).private
            await fill(stuck)
            held = memory(sidecar.pid).private - before
            print(f"held for each: {held / STALLED / 1024:.0f} KiB")
            assert HELD / 16 < held / STALLED <= HELD

            async with traffic(lively, rate=1000):
                await asyncio.sleep(1)
            assert faults(lively) == []
            assert min(tunnel.echoes for tunnel in lively) > 0
            assert all(tunnel.live for tunnel in [*lively, *stuck])
            assert memory(sidecar.pid).private - before <= HELD * STALLED
        await eventually(lambda: sidecar.connections() == [])
    errors = sidecar.errors()
    assert errors == [], errors
