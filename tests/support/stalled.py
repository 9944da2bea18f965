"""Clients that send until nobody takes more, and never read."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Sequence
from typing import Final

from tests.support.echo import narrow
from tests.support.fleet import LIMIT, Tunnel, call, leave
from tests.support.frames import BINARY, frame

ROOM: Final = 16 * 1024
"""Bytes that the kernel keeps for such a client: few, so that it is the sidecar that fills up."""

_PIECE: Final = frame(BINARY, bytes(60_000), mask=True)
_TRIES: Final = 20
_ENOUGH: Final = 2000


@contextlib.asynccontextmanager
async def stalled(port: int, count: int) -> AsyncIterator[list[Tunnel]]:
    """Tunnels whose clients do not read."""
    tunnels = []
    try:
        for _ in range(count):
            sock = socket.socket()
            narrow(sock, ROOM)
            sock.connect(("127.0.0.1", port))
            sock.setblocking(False)
            tunnels.append(await call(port, sock=sock))
            tunnels[-1].transport.pause_reading()
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
    """Pass the transport by, which would keep without bound what the kernel does not take."""
    taken = 0
    with contextlib.suppress(BlockingIOError, ConnectionError):
        taken = os.write(tunnel.transport.get_extra_info("socket").fileno(), rests[tunnel])
    rests[tunnel] = rests[tunnel][taken:] or _PIECE
    return taken
