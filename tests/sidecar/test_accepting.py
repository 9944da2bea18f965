"""Connections without a transport; what is the same for all of them is in test_adapter.py."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import resource
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

import pytest

pytest.importorskip("wsroute_sidecar._relay")

from wsroute_sidecar import accepting
from wsroute_sidecar.accepting import Acceptor
from wsroute_sidecar.adapter import Exchange, Finished, Server
from wsroute_sidecar.upgrading import Scout

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
        about = (exchange.bare, exchange.peer, exchange.scheme)
        taken.put_nowait((about, *(exchange.lend() or ())))
        exchange.let_go()
        return Finished(keep_alive=False, status=101)

    async with sent(listener, UPGRADE + b"one") as client:
        async with accepting_from(listener, handler) as server:
            about, fd, early = await asyncio.wait_for(taken.get(), LIMIT)
            assert about == (True, "127.0.0.1", "http")
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


async def test_a_fault_after_the_connection_was_taken_harms_only_the_log(
    listener: socket.socket, capsys: pytest.CaptureFixture[str]
) -> None:
    async def handler(exchange: Exchange) -> Finished:
        exchange.let_go()
        raise RuntimeError("a mistake")

    async with sent(listener, UPGRADE) as client, accepting_from(listener, handler) as server:
        assert await rest(client) == b""
        assert server.connections == []
    assert [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()] == [
        "request_failed"
    ]


async def test_the_end_of_the_server_cancels_who_is_still_a_descriptor(
    listener: socket.socket,
) -> None:
    begun, faults = asyncio.Event(), list[Any]()
    asyncio.get_running_loop().set_exception_handler(lambda _, fault: faults.append(fault))

    async def handler(_: Exchange) -> Finished:
        begun.set()
        await asyncio.sleep(LIMIT)
        raise AssertionError

    async with sent(listener, UPGRADE) as client:
        async with accepting_from(listener, handler):
            await asyncio.wait_for(begun.wait(), LIMIT)
        assert await rest(client) == b""
    gc.collect()
    assert faults == []


async def test_who_leaves_while_his_transport_is_made_is_counted_no_more(
    listener: socket.socket,
) -> None:
    cancelled = asyncio.Event()

    async def handler(exchange: Exchange) -> Finished:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()  # as aiohttp does when the connection is lost
        try:
            await exchange.settle()
        finally:
            cancelled.set()
        raise AssertionError

    async with sent(listener, UPGRADE), accepting_from(listener, handler) as server:
        await asyncio.wait_for(cancelled.wait(), LIMIT)
        assert [each for each in server.connections if isinstance(each, Exchange)] == []


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
    async def handler(exchange: Exchange) -> Finished:
        raise ConnectionResetError

    monkeypatch.setattr(accepting, "_RESPITE", 0.01)
    async with sent(listener, UPGRADE) as client, accepting_from(listener, handler):
        with no_more_files():
            await asyncio.sleep(0.05)
        assert await rest(client) == b""
    assert "too many open files" in capsys.readouterr().err.lower()


PLAIN: Final = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
CLOSING: Final = UPGRADE.replace(b"Connection: Upgrade", b"Connection: Upgrade, close")


@pytest.mark.parametrize(
    "before",
    [
        pytest.param(UPGRADE.replace(b": x", b": y\r\nX-A: b") + b"early", id="another upgrade"),
        pytest.param(UPGRADE + UPGRADE, id="two of them"),
        pytest.param(UPGRADE[:-2], id="an unfinished head"),
        pytest.param(UPGRADE[:30], id="an unfinished field"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"\r\n", id="an empty line"),
        pytest.param(PLAIN, id="a plain request"),
        pytest.param(PLAIN + UPGRADE, id="a plain request before it"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\nA b\r\n\r\n", id="a malformed head"),
        pytest.param(b"A: " + b"b" * 9000, id="what is no HTTP"),
        pytest.param(CLOSING, id="an upgrade and close"),
        pytest.param(UPGRADE[:-2] + b"Content-Length: 9\r\n\r\nabc", id="a part of a body"),
        pytest.param(UPGRADE[:-2] + b"Transfer-Encoding: chunked\r\n\r\n1\r\n", id="of a chunk"),
    ],
)
async def test_nothing_of_an_earlier_request_is_in_the_next_one(before: bytes) -> None:
    scout = Scout(Server(never))
    for _ in range(3):
        scout._read(before)
        found = scout._read(UPGRADE + b"early")
        assert found is not None
        message, early = found
        assert (message.method, message.path, message.version) == ("GET", "/", (1, 1))
        assert b"".join(b"%s: %s\r\n" % field for field in message.raw_headers) in UPGRADE
        assert len(message.raw_headers) == UPGRADE.count(b": ")
        assert early == b"early"


@pytest.mark.parametrize(
    "sent_",
    [
        pytest.param(UPGRADE + UPGRADE, id="what follows is early"),
        pytest.param(UPGRADE, id="an upgrade"),
    ],
)
async def test_an_upgrade_is_found_whatever_follows_it(sent_: bytes) -> None:
    found = Scout(Server(never))._read(sent_)
    assert found is not None
    assert found[1] == sent_[len(UPGRADE) :]


@pytest.mark.parametrize(
    "sent_",
    [
        pytest.param(CLOSING, id="and close"),
        pytest.param(PLAIN + UPGRADE, id="behind a plain request"),
        pytest.param(UPGRADE.replace(b"websocket", b"h2c"), id="to something else"),
        pytest.param(UPGRADE[:-2] + b"Content-Length: 1\r\n\r\na", id="with a body"),
    ],
)
async def test_an_unusual_upgrade_is_left_to_its_own_parser(sent_: bytes) -> None:
    assert Scout(Server(never))._read(sent_) is None


async def never(_: Exchange) -> Finished:
    raise AssertionError
