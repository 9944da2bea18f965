"""Autobahn judges a server alike, whether or not the sidecar stands before it."""

from __future__ import annotations

import asyncio

from tests.support.autobahn import PINGS, echo_server, judged, without_pings
from tests.support.sidecar import Sidecar, route

SECTIONS = [f"{section}.*" for section in (1, 2, 3, 4, 5, 6, 7, 10)]


async def test_the_verdicts_are_those_of_the_direct_run() -> None:
    async with echo_server() as backend:
        with Sidecar([route(backend)]) as sidecar:
            direct, through = await asyncio.gather(
                judged(backend, SECTIONS), judged(sidecar.port, SECTIONS)
            )
    assert len(direct) == 247
    assert through == direct
    assert sidecar.errors() == []


async def test_pings_of_the_sidecar_change_no_verdict() -> None:
    async with echo_server() as backend:
        with Sidecar([route(backend, keepalive=PINGS)]) as sidecar:
            async with without_pings(sidecar.port) as (port, taken):
                direct, through = await asyncio.gather(
                    judged(backend, SECTIONS), judged(port, SECTIONS)
                )
    assert through == direct
    assert taken.pings > 0
    assert sidecar.errors() == []
