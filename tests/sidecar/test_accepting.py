"""Connections without a transport; what is the same for all of them is in test_adapter.py."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import pytest

from wsroute_sidecar import accepting
from wsroute_sidecar.accepting import Acceptor
from wsroute_sidecar.adapter import Exchange, Finished, Server

LIMIT: Final = 10.0
UPGRADE: Final = (
    b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)

Handler = Callable[[Exchange], Awaitable[Finished]]


@asynccontextmanager
async def accepting_from(
    listener: socket.socket, handler: Handler, most: int = 100
) -> AsyncIterator[Server]:
    server = Server(handler, lambda connections: connections > most)
    listener.setblocking(False)
    acceptor = Acceptor(server, [listener])
    try:
        yield server
    finally:
        acceptor.close()
        await server.shutdown(0.1)


@asynccontextmanager
async def sent(listener: socket.socket, data: bytes) -> AsyncIterator[socket.socket]:
    """A client whose request has come before it is accepted."""
    with socket.create_connection(listener.getsockname()) as client:
        client.sendall(data)
        client.setblocking(False)
        yield client


async def rest(client: socket.socket) -> bytes:
    received = b""
    async with asyncio.timeout(LIMIT):
        while data := await asyncio.get_running_loop().sock_recv(client, 1000):
            received += data
    return received


@pytest.fixture
def listener() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


async def test_an_upgrade_is_a_socket_until_it_is_taken_with_what_came_early(
    listener: socket.socket,
) -> None:
    taken: asyncio.Queue[Any] = asyncio.Queue()

    async def handler(exchange: Exchange) -> Finished:
        about = (exchange.bare, exchange.unwatched, exchange.peer, exchange.scheme)
        taken.put_nowait((about, *exchange.take_socket()))
        return Finished(keep_alive=False, status=101)

    async with sent(listener, UPGRADE + b"one") as client:
        async with accepting_from(listener, handler) as server:
            about, fd, early = await asyncio.wait_for(taken.get(), LIMIT)
            assert about == (True, fd, "127.0.0.1", "http")
            assert early == b"one"
            assert server.connections == []
        with socket.socket(fileno=fd) as near:
            assert near.getpeername() == client.getsockname()
            near.sendall(b"two")
        assert await rest(client) == b"two"


async def test_who_is_neither_taken_nor_answered_is_closed(listener: socket.socket) -> None:
    async def handler(_: Exchange) -> Finished:
        raise asyncio.CancelledError  # as when the engine finds that the client has left

    async with sent(listener, UPGRADE) as client, accepting_from(listener, handler) as server:
        assert await rest(client) == b""
        assert server.connections == []


async def test_one_too_many_is_cut_and_an_upgrade_under_way_counts(listener: socket.socket) -> None:
    begun = asyncio.Event()

    async def handler(_: Exchange) -> Finished:
        begun.set()
        await asyncio.sleep(LIMIT)
        raise AssertionError

    async with accepting_from(listener, handler, most=1), sent(listener, UPGRADE):
        await asyncio.wait_for(begun.wait(), LIMIT)
        async with sent(listener, b"") as second:
            assert await rest(second) == b""


async def test_the_listener_is_looked_at_again_when_files_could_not_be_opened(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(socket.socket):
        full = True

        def accept(self) -> tuple[socket.socket, Any]:
            if self.full:
                self.full = False
                raise OSError(errno.EMFILE, "too many open files")
            return super().accept()

    async def handler(exchange: Exchange) -> Finished:
        raise ConnectionResetError

    monkeypatch.setattr(accepting, "_RESPITE", 0.01)
    with Full(fileno=listener.detach()) as full:
        async with sent(full, UPGRADE) as client, accepting_from(full, handler):
            assert await rest(client) == b""
            assert not full.full
