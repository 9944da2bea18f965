"""Clients that send until nobody takes more, and never read."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from typing import Final

from tests.support.echo import narrow
from tests.support.fleet import LIMIT, Tunnel, call, leave
from tests.support.frames import BINARY, frame

ROOM: Final = 16 * 1024
"""Bytes that the kernel keeps for such a client: few, so that it is the sidecar that fills up."""

_PIECE: Final = frame(BINARY, bytes(60_000), mask=True)
_TRIES: Final = 20
_NEXT_TO_NOTHING: Final = 0.03


@contextlib.asynccontextmanager
async def stalled(
    port: int, count: int, tls: ssl.SSLContext | None = None
) -> AsyncIterator[list[Tunnel]]:
    """Tunnels whose clients do not read."""
    tunnels = []
    try:
        for _ in range(count):
            sock = socket.socket()
            narrow(sock, ROOM)
            sock.connect(("127.0.0.1", port))
            sock.setblocking(False)
            tunnels.append(await call(port, sock=sock, tls=tls))
            tunnels[-1].transport.pause_reading()
        yield tunnels
    finally:
        await leave(tunnels)


async def fill(tunnels: Sequence[Tunnel]) -> None:
    """Send on all of them until next to nothing is taken any more."""
    async with asyncio.timeout(LIMIT):
        taken = len(tunnels)
        while taken > len(tunnels) * _NEXT_TO_NOTHING:
            taken = 0
            for _ in range(_TRIES):
                await asyncio.sleep(0.01)
                taken += sum(_send_on(tunnel) for tunnel in tunnels)


def _send_on(tunnel: Tunnel) -> bool:
    """Whether a further piece could be written, as all before it has gone out."""
    transport = tunnel.transport
    free = not (transport.is_closing() or transport.get_write_buffer_size())
    if free:
        transport.write(_PIECE)
    return free
