"""Connections without a transport; what is the same for all of them is in test_adapter.py."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

import pytest

pytest.importorskip("wsroute_sidecar._relay")

from tests.support.waiting import eventually
from wsroute_sidecar import accepting
from wsroute_sidecar._relay import Request
from wsroute_sidecar.accepting import Acceptor
from wsroute_sidecar.adapter import Exchange, Finished, Handler, Server
from wsroute_sidecar.forward import Answering, Begin

LIMIT: Final = 10.0
UPGRADE: Final = (
    b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)

NO: Final = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"


async def never(_: Exchange) -> Finished:
    raise AssertionError


async def says_no(exchange: Exchange) -> Finished:
    await exchange.start(NO, chunked=False).write_eof()
    return Finished(keep_alive=False)


@asynccontextmanager
async def accepting_from(
    listener: socket.socket, handler: Handler, begin: Begin, most: int = 100
) -> AsyncIterator[Server]:
    server = Server(handler, lambda connections: connections > most)
    listener.setblocking(False)
    acceptor = Acceptor(server, [listener], begin)
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


class Beginner:
    """Takes plain requests to upgrade."""

    def __init__(self) -> None:
        self.begun: Final[asyncio.Queue[tuple[Request, str, int, Answering]]] = asyncio.Queue()

    def __call__(self, request: Request, peer: str, fd: int, answer: Answering) -> bool:
        self.begun.put_nowait((request, peer, fd, answer))
        return True

    async def next(self) -> tuple[Request, str, int, Answering]:
        return await asyncio.wait_for(self.begun.get(), LIMIT)


@pytest.fixture
def listener() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


async def test_a_plain_upgrade_is_a_descriptor_and_stays_one(listener: socket.socket) -> None:
    begin = Beginner()
    async with sent(listener, UPGRADE + b"one") as client:
        async with accepting_from(listener, never, begin) as server:
            request, peer, fd, _ = await begin.next()
            assert (request.received, request.early) == (UPGRADE + b"one", b"one")
            assert peer == "127.0.0.1"
            assert server.connections == []
        with socket.socket(fileno=fd) as near:
            assert near.getpeername() == client.getsockname()
            near.sendall(b"two")
        assert await rest(client) == b"two"


async def test_an_upgrade_that_is_not_begun_is_answered_as_any_request(
    listener: socket.socket,
) -> None:
    begun = accepting_from(listener, says_no, lambda *_: False)
    async with sent(listener, UPGRADE) as client, begun:
        assert await rest(client) == NO


async def test_a_fault_in_who_begins_upgrades_harms_no_other_connection(
    listener: socket.socket, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*_: object) -> bool:
        raise RuntimeError("a mistake")

    async with (
        sent(listener, UPGRADE) as one,
        sent(listener, UPGRADE) as another,
        accepting_from(listener, says_no, fails),
    ):
        assert [await rest(one), await rest(another)] == [NO, NO]
    assert capsys.readouterr().err.count("a mistake") == 2


async def test_an_upgrade_that_came_to_nothing_is_answered_by_who_knows_why(
    listener: socket.socket,
) -> None:
    seen: list[Any] = []

    async def handler(exchange: Exchange) -> Finished:
        seen.extend((exchange.headers, exchange.wants_upgrade, exchange.peer))
        return await says_no(exchange)

    begin = Beginner()
    accepting_ = accepting_from(listener, never, begin, most=1)
    async with accepting_ as server, sent(listener, UPGRADE + b"early") as client:
        _, _, fd, answer = await begin.next()
        async with sent(listener, b"G"):  # one more, and there are too many
            await eventually(lambda: len(server.connections) == 1)
            answer(fd, handler)
            assert await rest(client) == NO
    assert seen == [tuple(Request(UPGRADE).headers), True, "127.0.0.1"]


@pytest.mark.parametrize(
    ("first", "then"),
    [
        pytest.param(b"", UPGRADE, id="an upgrade that comes late"),
        pytest.param(UPGRADE[:-2], UPGRADE[-2:], id="an unfinished one"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"", id="a plain request"),
        pytest.param(UPGRADE.replace(b": x", b": [::1]"), b"", id="an unusual upgrade"),
    ],
)
async def test_all_others_are_the_servers(
    listener: socket.socket, first: bytes, then: bytes
) -> None:
    begin = Beginner()
    async with accepting_from(listener, says_no, begin) as server, sent(listener, first) as client:
        if then:
            await eventually(lambda: len(server.connections) == 1)
            await asyncio.get_running_loop().sock_sendall(client, then)
        assert await rest(client) == NO
    assert begin.begun.empty()


async def test_one_too_many_is_cut(listener: socket.socket) -> None:
    begin = Beginner()
    async with accepting_from(listener, never, begin, most=1) as server, sent(listener, b"G"):
        await eventually(lambda: len(server.connections) == 1)
        async with sent(listener, UPGRADE) as second:
            assert await rest(second) == b""
    assert begin.begun.empty()


@contextmanager
def no_more_files() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_the_listener_is_looked_at_again_when_files_could_not_be_opened(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(accepting, "_RESPITE", 0.01)
    accepting_ = accepting_from(listener, says_no, lambda *_: False)
    async with sent(listener, UPGRADE) as client, accepting_:
        with no_more_files():
            await asyncio.sleep(0.05)
        assert await rest(client) == NO
    assert "too many open files" in capsys.readouterr().err.lower()
