"""SIGTERM while many tunnels carry messages, and some peers do not do what they should."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Final

from tests.support.echo import echoing
from tests.support.fleet import FULL, Ending, call, endings, faults, fleet, traffic
from tests.support.sidecar import Sidecar, both_engines, route
from tests.support.waiting import eventually

pytestmark = both_engines

TUNNELS: Final = 4000 if FULL else 400
DEAF: Final = 10
"""Clients that do not answer a Close."""

WINDOW: Final = 3
GRACE: Final = 5 + 1
"""Seconds that a peer has to answer the last Close, and those to end in."""

SLACK: Final = 10


def per_second(found: Sequence[Ending], begun: float) -> Counter[int]:
    """How many ended in each second after `begun`."""
    return Counter(int(ending.at - begun) for ending in found)


async def test_a_drain_spreads_its_closes_and_keeps_each_tunnel_until_then() -> None:
    clock = asyncio.get_running_loop().time
    drain = {"timeout": f"{WINDOW}s", "closeCode": 1012}
    with echoing() as backend, Sidecar([route(backend.port, drain=drain)]) as sidecar:
        async with (
            fleet(sidecar.port, DEAF) as deaf,
            fleet(sidecar.port, TUNNELS) as tunnels,
            traffic(tunnels, rate=1000),
        ):
            for tunnel in deaf:
                tunnel.deaf = True
            begun = clock()
            sidecar.terminate()
            await asyncio.to_thread(sidecar.logged, "drain_begins")
            refused = await call(sidecar.port)
            before = sum(tunnel.echoes for tunnel in tunnels)
            status = await asyncio.to_thread(sidecar.wait)
            took = clock() - begun

        found = endings([*deaf, *tunnels])
        assert {(ending.code, ending.reason) for ending in found} == {(1012, "pod is going away")}
        assert len(found) == DEAF + TUNNELS
        assert max(per_second(found, begun).values()) <= 2 * len(found) / WINDOW
        assert sum(tunnel.echoes for tunnel in tunnels) > before
        assert faults(tunnels) == []
        assert refused.status == 503
        assert status == 0
        assert took < WINDOW + GRACE + SLACK
        assert [line["event"] for line in sidecar.errors()] in ([], ["drain_cut_short"])


async def test_many_tunnels_that_reach_their_age_do_not_end_all_at_once() -> None:
    least, jitter = (20, 100) if FULL else (3, 100)
    window = least * jitter / 100
    connection = {"maxDuration": f"{least}s", "maxDurationJitter": jitter}
    with echoing() as backend, Sidecar([route(backend.port, connection=connection)]) as sidecar:
        async with fleet(sidecar.port, TUNNELS) as tunnels:
            limit = least + window + SLACK
            await eventually(lambda: not any(tunnel.live for tunnel in tunnels), seconds=limit)

        found = endings(tunnels)
        ages = Counter(int(e.at - t.opened) for e, t in zip(found, tunnels, strict=True))
        assert {ending.code for ending in found} == {1001}
        assert min(ages) >= least - 1
        assert max(ages.values()) <= 2 * TUNNELS / window
        assert sidecar.errors() == []
