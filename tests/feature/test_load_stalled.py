"""Many clients that send and never read, beside some that do both."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Final

from tests.support.echo import echoing, narrow
from tests.support.fleet import (
    FULL,
    LIMIT,
    Tunnel,
    call,
    eventually,
    faults,
    fleet,
    leave,
    traffic,
)
from tests.support.frames import BINARY, frame
from tests.support.sidecar import Sidecar, route

STALLED: Final = 1000 if FULL else 200
HELD: Final = 256 * 1024
"""Bytes that the sidecar may hold for each of them, both directions together."""

_PIECE: Final = frame(BINARY, bytes(60_000), mask=True)
_ROOM: Final = 16 * 1024
_TRIES: Final = 20
_ENOUGH: Final = 2000


@contextlib.asynccontextmanager
async def stalled(port: int, count: int) -> AsyncIterator[list[Tunnel]]:
    """Tunnels whose clients do not read."""
    tunnels, socks = [], []
    for _ in range(count):
        sock = socket.socket()
        narrow(sock, _ROOM)
        sock.connect(("127.0.0.1", port))
        sock.setblocking(False)
        socks.append(sock)
        tunnels.append(await call(port, sock=sock))
        tunnels[-1].transport.pause_reading()
    try:
        yield tunnels
    finally:
        await leave(tunnels)


async def fill(tunnels: Sequence[Tunnel]) -> None:
    """Send on all of them until next to nothing is taken any more."""
    rests = dict.fromkeys(tunnels, _PIECE)
    taken = _ENOUGH * len(tunnels)
    async with asyncio.timeout(LIMIT):
        while taken >= _ENOUGH * len(tunnels):
            taken = 0
            for _ in range(_TRIES):
                await asyncio.sleep(0.01)
                taken += sum(_send_on(tunnel, rests) for tunnel in tunnels)


def _send_on(tunnel: Tunnel, rests: dict[Tunnel, bytes]) -> int:
    taken = _send(tunnel, rests[tunnel])
    rests[tunnel] = rests[tunnel][taken:] or _PIECE
    return taken


def _send(tunnel: Tunnel, data: bytes) -> int:
    """Pass the transport by, which would keep without bound what the kernel does not take."""
    with contextlib.suppress(BlockingIOError), socket.socket(fileno=_fileno(tunnel)) as sock:
        try:
            return sock.send(data)
        finally:
            sock.detach()
    return 0


def _fileno(tunnel: Tunnel) -> int:
    number: int = tunnel.transport.get_extra_info("socket").fileno()
    return number


def anonymous(pid: int) -> int:
    """Memory of a process that no file backs, in bytes."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Anonymous:"):
            return int(line.split()[1]) * 1024
    raise AssertionError


async def test_readers_that_stall_cost_a_bounded_amount_each_and_nobody_else_notices() -> None:
    with echoing(_ROOM) as backend, Sidecar([route(backend.port)]) as sidecar:
        async with fleet(sidecar.port, 64) as lively, stalled(sidecar.port, STALLED) as stuck:
            before = anonymous(sidecar.pid)
            await fill(stuck)
            held = anonymous(sidecar.pid) - before
            print(f"held for each: {held / STALLED / 1024:.0f} KiB")
            assert HELD / 4 < held / STALLED <= HELD
            async with traffic(lively, rate=1000):
                await asyncio.sleep(1)
            assert faults(lively) == []
            assert min(tunnel.echoes for tunnel in lively) > 10
            assert all(tunnel.live for tunnel in [*lively, *stuck])
            assert anonymous(sidecar.pid) - before <= HELD * STALLED
        await eventually(lambda: sidecar.connections() == [])
    assert sidecar.errors() == []
