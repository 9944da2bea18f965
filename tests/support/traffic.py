"""Echo servers with a name, and tunnels through a sidecar that carry traffic all the while."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from typing import Final

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from tests.support.sidecar import Sidecar

LIMIT: Final = 20.0


@contextlib.asynccontextmanager
async def echo(name: str = "", port: int = 0) -> AsyncIterator[int]:
    """The port of a server that echoes; it sends its `name` first, if it has one."""

    async def handle(connection: ServerConnection) -> None:
        if name:
            await connection.send(name)
        async for message in connection:
            await connection.send(message)

    async with serve(handle, "127.0.0.1", port, max_size=None) as server:
        yield next(iter(server.sockets)).getsockname()[1]


class Tunnel:
    """A tunnel whose messages come back one by one, each unchanged, as long as it lives."""

    def __init__(self, connection: ClientConnection, backend: str) -> None:
        self.backend: Final = backend
        self._connection: Final = connection
        self._echoes = 0
        self._task: Final = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while True:
            sent = secrets.token_bytes(secrets.randbelow(20_000))
            await self._connection.send(sent)
            received = await self._connection.recv()
            assert received == sent, "bytes were lost"
            self._echoes += 1

    async def flows(self) -> None:
        """Wait for some further echoes."""
        goal = self._echoes + 5
        async with asyncio.timeout(LIMIT):
            while self._echoes < goal:
                if self._task.done():
                    self._task.result()
                await asyncio.sleep(0.001)

    async def closed(self) -> tuple[int, str]:
        """Wait for the Close that ends it: its code and reason."""
        async with asyncio.timeout(LIMIT):
            with pytest.raises(ConnectionClosed) as ended:
                await self._task
        end = ended.value.rcvd
        assert end is not None
        return end.code, end.reason

    async def stop(self) -> None:
        """End the traffic and the tunnel; what went wrong meanwhile is raised."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError, ConnectionClosed):
            await self._task
        await self._connection.close()


@contextlib.asynccontextmanager
async def tunnel(sidecar: Sidecar, path: str = "/") -> AsyncIterator[Tunnel]:
    """An open tunnel to a named server, with its traffic."""
    async with connect(f"ws://127.0.0.1:{sidecar.port}{path}", compression=None) as connection:
        name = await connection.recv()
        opened = Tunnel(connection, str(name))
        try:
            yield opened
        finally:
            await opened.stop()
