"""What the adapter takes for granted of aiohttp, one assumption a test."""

from __future__ import annotations

import asyncio
import gc
import gzip
import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import aiohttp
import pytest
import uvloop
from aiohttp.web_protocol import RequestHandler

from wsroute_sidecar import adapter
from wsroute_sidecar.adapter import (
    MAX_EARLY,
    Exchange,
    Finished,
    Server,
)
from wsroute_sidecar.adapter_client import Pool, exact_url, response_body, telling

LOOPS: Final = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
LIMIT: Final = 10.0
GET: Final = b"GET /a%20b/../c?d#e HTTP/1.1\r\nHost: x\r\nx-A: \xc3\xa9\r\nX-a:\r\n\r\n"
UPGRADE: Final = (
    b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
OK: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"

BOTH_WAYS: Final = pytest.mark.parametrize("sent", [GET, UPGRADE], ids=["plain", "an upgrade"])
"""aiohttp's own loop for requests, and the task of its own that an upgrade has."""

Handler = Callable[[Exchange], Awaitable[Finished]]


async def by_the_loop(server: Server) -> tuple[int, Callable[[], None]]:
    """The port that it listens on, and how to end that."""
    listener = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
    return listener.sockets[0].getsockname()[1], listener.close


async def without_a_transport(server: Server) -> tuple[int, Callable[[], None]]:
    pytest.importorskip("wsroute_sidecar._relay")
    from wsroute_sidecar.accepting import Acceptor  # noqa: PLC0415 - where the crate is built

    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    return listener.getsockname()[1], Acceptor(server, [listener], lambda *_: False).close


listen = by_the_loop


@pytest.fixture(autouse=True, params=[by_the_loop, without_a_transport])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """How connections are accepted: all is the same for both."""
    monkeypatch.setitem(globals(), "listen", request.param)


class Peer:
    """The client's end of a connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def read(self, size: int) -> bytes:
        return await asyncio.wait_for(self.reader.readexactly(size), LIMIT)

    async def rest(self) -> bytes:
        return await asyncio.wait_for(self.reader.read(), LIMIT)


@asynccontextmanager
async def connected(handler: Handler) -> AsyncIterator[Peer]:
    """A connection to an adapter.Server with this handler."""
    server = Server(handler)
    port, close = await listen(server)
    peer = Peer(*await asyncio.open_connection("127.0.0.1", port))
    try:
        yield peer
    finally:
        peer.writer.close()
        close()
        await server.shutdown(0.1)


async def answered(exchange: Exchange, body: bytes = b"ok", *, keep_alive: bool = True) -> Finished:
    await exchange.start(OK, chunked=False).write_eof(body)
    return Finished(keep_alive=keep_alive)


async def test_a_request_is_seen_as_it_came() -> None:
    seen: list[Any] = []

    async def handler(exchange: Exchange) -> Finished:
        seen.extend((exchange.method, exchange.target, exchange.version, exchange.headers))
        seen.extend((exchange.peer, exchange.scheme, exchange.keep_alive, exchange.has_body))
        return await answered(exchange)

    async with connected(handler) as peer:
        peer.send(GET)
        assert await peer.read(len(OK) + 2) == OK + b"ok"
    assert seen == [
        "GET",
        "/a%20b/../c?d#e",
        (1, 1),
        ((b"Host", b"x"), (b"x-A", b"\xc3\xa9"), (b"X-a", b"")),
        "127.0.0.1",
        "http",
        True,
        False,
    ]


@pytest.mark.parametrize(
    ("fields", "body", "received"),
    [
        pytest.param(b"Content-Length: 3\r\n", b"abc", b"abc", id="a length"),
        pytest.param(
            b"Transfer-Encoding: chunked\r\n",
            b"1;x=y\r\na\r\n2\r\nbc\r\n0\r\nX: y\r\n\r\n",
            b"abc",
            id="chunks, extensions and trailers",
        ),
        pytest.param(b"Content-Length: 0\r\n", b"", None, id="an empty body"),
        pytest.param(
            b"Content-Encoding: gzip\r\nContent-Length: %d\r\n" % len(gzip.compress(b"a", mtime=0)),
            gzip.compress(b"a", mtime=0),
            gzip.compress(b"a", mtime=0),
            id="a coding that is the backend's to undo",
        ),
    ],
)
async def test_a_body_comes_without_its_framing_and_unchanged(
    fields: bytes, body: bytes, received: bytes | None
) -> None:
    async def handler(exchange: Exchange) -> Finished:
        assert exchange.has_body is (received is not None)
        whole = b"".join([piece async for piece in exchange.body(ask=False)])
        assert whole == (received or b"")
        return await answered(exchange)

    async with connected(handler) as peer:
        peer.send(b"POST / HTTP/1.1\r\nHost: x\r\n" + fields + b"\r\n" + body)
        assert await peer.read(len(OK) + 2) == OK + b"ok"


async def test_a_client_that_expects_it_is_told_to_go_on_before_its_body_is_read() -> None:
    async def handler(exchange: Exchange) -> Finished:
        whole = b"".join([piece async for piece in exchange.body(ask=True)])
        return await answered(exchange, whole)

    async with connected(handler) as peer:
        peer.send(
            b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
        )
        assert await peer.read(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
        peer.send(b"hi")
        assert await peer.read(len(OK) + 2) == OK + b"hi"


async def test_a_response_is_the_bytes_that_were_given_with_its_body_framed() -> None:
    head = b"HTTP/1.1 299 \xe9\r\nx_Y: \xff\r\nTransfer-Encoding: chunked\r\n\r\n"

    async def handler(exchange: Exchange) -> Finished:
        writer = exchange.start(head, chunked=True)
        await writer.write(b"abc")
        await writer.write_eof()
        return Finished(keep_alive=False)

    async with connected(handler) as peer:
        peer.send(GET)
        assert await peer.rest() == head + b"3\r\nabc\r\n0\r\n\r\n"


@pytest.mark.parametrize("keep_alive", [True, False])
async def test_a_finished_response_adds_nothing_and_says_whether_to_go_on(
    keep_alive: bool,
) -> None:
    async def handler(exchange: Exchange) -> Finished:
        return await answered(exchange, keep_alive=keep_alive and exchange.keep_alive)

    async with connected(handler) as peer:
        peer.send(GET + GET.replace(b"Host", b"Connection: close\r\nHost"))
        first = OK + b"ok"
        await peer.read(len(first))
        second = await peer.rest()
    assert second == (first if keep_alive else b"")


@pytest.mark.parametrize(
    ("request_", "keep_alive"),
    [
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", True, id="HTTP/1.1"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", False, id="close"),
        pytest.param(b"GET / HTTP/1.0\r\n\r\n", False, id="HTTP/1.0"),
        pytest.param(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", True, id="and alive"),
        pytest.param(
            b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            False,
            id="chunks",
        ),
        pytest.param(UPGRADE, False, id="an upgrade"),
        pytest.param(UPGRADE.replace(b"websocket", b"h2c"), False, id="an unknown upgrade"),
    ],
)
async def test_whether_a_connection_may_live_on(request_: bytes, keep_alive: bool) -> None:
    seen: list[bool] = []

    async def handler(exchange: Exchange) -> Finished:
        seen.append(exchange.keep_alive)
        return await answered(exchange, keep_alive=False)

    async with connected(handler) as peer:
        peer.send(request_)
        await peer.rest()
    assert seen == [keep_alive]


Taken = asyncio.Queue[tuple[asyncio.Transport, bytes]]


class Taker:
    """A handler that takes connections, when it may."""

    def __init__(self, protocol: asyncio.Protocol | None = None) -> None:
        self.ready = asyncio.Event()
        self._taken: Taken = asyncio.Queue()
        self._protocol = protocol

    async def __call__(self, exchange: Exchange) -> Finished:
        await self.ready.wait()
        transport, early = exchange.take()
        if self._protocol is not None:
            transport.set_protocol(self._protocol)
        self._taken.put_nowait((transport, early))
        return Finished(keep_alive=False, status=101)

    async def taken(self) -> tuple[asyncio.Transport, bytes]:
        self.ready.set()
        return await asyncio.wait_for(self._taken.get(), LIMIT)


async def test_a_taken_connection_is_open_and_has_all_that_came_early() -> None:
    taker = Taker()
    async with connected(taker) as peer:
        peer.send(UPGRADE + b"one")
        await asyncio.sleep(0.05)  # so that the rest is a second read
        peer.send(b"two")
        await asyncio.sleep(0.05)
        transport, early = await taker.taken()
        assert early == b"onetwo"
        transport.write(b"three")
        assert await peer.read(5) == b"three"
        assert not transport.is_closing()
        transport.abort()


class Next(asyncio.Protocol):
    """What a connection is given to."""

    def __init__(self) -> None:
        self.received: asyncio.Queue[bytes] = asyncio.Queue()

    def data_received(self, data: bytes) -> None:
        self.received.put_nowait(data)


def of_aiohttp() -> set[int]:
    """What there is of connections that aiohttp knows, by identity."""
    things = gc.get_objects()
    return {id(thing) for thing in things if isinstance(thing, RequestHandler | Exchange)}


async def test_nothing_of_aiohttp_is_left_on_a_taken_connection() -> None:
    protocol = Next()
    before = of_aiohttp()  # other tests may have left some
    taker = Taker(protocol)
    async with connected(taker) as peer:
        peer.send(UPGRADE)
        transport, _ = await taker.taken()
        peer.send(b"frames")
        assert await asyncio.wait_for(protocol.received.get(), LIMIT) == b"frames"
        gc.collect()
        assert of_aiohttp() <= before
        assert asyncio.all_tasks() == {asyncio.current_task()}
        transport.abort()


async def test_a_connection_that_is_being_closed_cannot_be_taken() -> None:
    refused: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def close_and_take(exchange: Exchange) -> Finished:
        exchange.abort()
        try:
            exchange.take()
        except ConnectionResetError as error:
            refused.set_result(str(error))
        return Finished(keep_alive=False)

    async with connected(close_and_take) as peer:
        peer.send(UPGRADE)
        assert await asyncio.wait_for(refused, LIMIT) == "the client has left"


async def test_a_client_that_sends_early_is_not_read_beyond_the_bound() -> None:
    taker = Taker()
    async with connected(taker) as peer:
        peer.send(UPGRADE + b"x" * 16 * 1024 * 1024)
        await asyncio.sleep(0.3)  # for as much to be read as ever will be
        transport, early = await taker.taken()
        transport.abort()
    read_at_once = 256 * 1024
    assert MAX_EARLY <= len(early) <= MAX_EARLY + read_at_once


async def test_an_upgrade_may_follow_other_requests() -> None:
    taker = Taker(Next())
    taker.ready.set()

    async def handler(exchange: Exchange) -> Finished:
        return await (taker if exchange.wants_upgrade else answered)(exchange)

    async with connected(handler) as peer:
        peer.send(GET + UPGRADE)
        assert await peer.read(len(OK) + 2) == OK + b"ok"
        transport, _ = await taker.taken()
        transport.write(b"taken")
        assert await peer.read(5) == b"taken"
        transport.abort()


async def test_nothing_follows_an_upgrade_that_was_not_made() -> None:
    async with connected(answered) as peer:
        peer.send(UPGRADE + GET)
        assert await peer.rest() == OK + b"ok"


async def test_the_end_of_the_server_waits_for_an_upgrade_and_then_cancels_it() -> None:
    taker = Taker()
    async with connected(taker) as peer:
        peer.send(UPGRADE)
        await asyncio.sleep(0.05)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_taking_a_connection_whose_client_has_left_is_an_error() -> None:
    failed: asyncio.Queue[str] = asyncio.Queue()

    async def handler(exchange: Exchange) -> Finished:
        exchange._front.transport = None
        try:
            exchange.take()
        except ConnectionResetError as error:
            failed.put_nowait(str(error))
        return Finished(keep_alive=False)

    async with connected(handler) as peer:
        peer.send(UPGRADE)
        assert await asyncio.wait_for(failed.get(), LIMIT) == "the client has left"


@BOTH_WAYS
async def test_a_client_that_leaves_cancels_its_request(sent: bytes) -> None:
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def handler(exchange: Exchange) -> Finished:
        begun.set()
        try:
            await asyncio.sleep(LIMIT)
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return await answered(exchange)

    async with connected(handler) as peer:
        peer.send(sent)
        await asyncio.wait_for(begun.wait(), LIMIT)
        peer.writer.transport.abort()
        await asyncio.wait_for(cancelled.wait(), LIMIT)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"400", id="TLS"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\nA : b\r\n\r\n", b"400", id="a bad field"),
        pytest.param(
            b"GET /" + b"a" * 8200 + b" HTTP/1.1\r\nHost: x\r\n\r\n", b"414", id="a target"
        ),
        pytest.param(
            b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 17000 + b"\r\n\r\n", b"431", id="a value"
        ),
        pytest.param(
            b"GET / HTTP/1.1\r\nHost: x\r\n" + b"a" * 17000 + b": b\r\n\r\n", b"431", id="a name"
        ),
    ],
)
async def test_what_the_parser_refuses_has_a_status_and_ends_the_connection(
    sent: bytes, status: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    async with connected(answered) as peer:
        peer.send(sent)
        got = await peer.rest()
    assert got.startswith(b"HTTP/1.1 " + status)
    assert b"\r\nServer: wsroute\r\n" in got
    assert b"wsroute: " + status in got
    assert capsys.readouterr().err == ""


@BOTH_WAYS
async def test_a_fault_of_the_handler_is_a_500_and_one_line(
    sent: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    async def handler(_: Exchange) -> Finished:
        raise RuntimeError("a mistake")

    async with connected(handler) as peer:
        peer.send(sent)
        got = await peer.rest()
    assert got.startswith(b"HTTP/1.1 500")
    assert b"a mistake" not in got
    assert [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()] == [
        "request_failed"
    ]


@BOTH_WAYS
async def test_a_client_that_leaves_before_its_answer_is_no_fault(
    sent: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    async def handler(exchange: Exchange) -> Finished:
        writer = exchange.start(OK, chunked=False)
        exchange.abort()
        await writer.write_eof(b"ok")
        return Finished(keep_alive=False)

    async with connected(handler) as peer:
        peer.send(sent)
        with pytest.raises(ConnectionResetError):
            await peer.rest()
    assert capsys.readouterr().err == ""


@BOTH_WAYS
async def test_a_fault_in_mid_response_cuts_the_connection(sent: bytes) -> None:
    async def handler(exchange: Exchange) -> Finished:
        writer = exchange.start(OK, chunked=False)
        writer.send_headers()
        await writer.write(b"o")
        raise RuntimeError("a mistake")

    async with connected(handler) as peer:
        peer.send(sent)
        assert await peer.rest() == OK + b"o"


@BOTH_WAYS
async def test_an_aborted_response_is_a_reset_never_an_end(sent: bytes) -> None:
    async def handler(exchange: Exchange) -> Finished:
        writer = exchange.start(OK, chunked=False)
        writer.send_headers()
        await writer.write(b"o")
        exchange.abort()
        return Finished(keep_alive=False)

    async with connected(handler) as peer:
        peer.send(sent)
        with pytest.raises(ConnectionResetError):
            await peer.rest()


async def test_a_body_that_overtakes_its_handler_is_no_head(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(adapter, "MAX_HEAD", 100)
    monkeypatch.setattr(adapter, "HEAD_TIMEOUT", 0.1)

    async def handler(exchange: Exchange) -> Finished:
        pieces = [piece async for piece in exchange.body(ask=False)]
        await asyncio.sleep(0.2)
        return await answered(exchange, b"ok" if b"".join(pieces) == b"x" * 1000 else b"no")

    loop = asyncio.get_running_loop()
    server = Server(handler)
    near, far = socket.socketpair()
    _, front = await loop.connect_accepted_socket(server, far)
    front.data_received(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
    for _ in range(10):
        await asyncio.sleep(0)
        front.data_received(b"x" * 100)
    near.setblocking(False)
    async with asyncio.timeout(LIMIT):
        assert await loop.sock_recv(near, 1000) == OK + b"ok"
    near.close()
    await server.shutdown(0.1)


@pytest.mark.parametrize("piecewise", [False, True], ids=["silence", "a byte at a time"])
async def test_a_head_has_one_deadline_from_its_first_byte(
    piecewise: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "HEAD_TIMEOUT", 0.3)

    async with connected(answered) as peer:
        peer.send(b"GET / HTTP/1.1\r\nHost: ")
        dribble = asyncio.create_task(dribbled(peer)) if piecewise else None
        begun = asyncio.get_running_loop().time()
        got = await peer.rest()
        assert asyncio.get_running_loop().time() - begun < 3
        if dribble is not None:
            dribble.cancel()
    assert got.startswith(b"HTTP/1.1 408 ")


async def dribbled(peer: Peer) -> None:
    while True:
        await asyncio.sleep(0.05)
        peer.send(b"x")


async def test_a_finished_head_has_no_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapter, "HEAD_TIMEOUT", 0.1)

    async def handler(exchange: Exchange) -> Finished:
        await asyncio.sleep(0.3)
        return await answered(exchange)

    async with connected(handler) as peer:
        peer.send(GET[:9])
        await asyncio.sleep(0.02)
        peer.send(GET[9:])
        assert await peer.read(len(OK) + 2) == OK + b"ok"


async def test_the_beginning_of_a_next_head_is_closed_with_the_idle_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(adapter, "KEEPALIVE_TIMEOUT", 0.2)

    async with connected(answered) as peer:
        peer.send(GET + GET[:9])
        assert await peer.rest() == OK + b"ok"


async def test_a_connection_that_says_nothing_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapter, "KEEPALIVE_TIMEOUT", 0.2)

    async with connected(answered) as peer:
        assert await peer.rest() == b""


async def test_a_head_that_never_ends_is_refused_before_it_fills_the_memory() -> None:
    async with connected(answered) as peer:
        peer.send(b"GET / HTTP/1.1\r\nHost: x\r\n" + b"".join(b"A: b\r\n" for _ in range(30_000)))
        got = await peer.rest()
    assert got.startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize("status", [b"431", b"200"], ids=["by the parser", "by the handler"])
async def test_an_answer_is_not_lost_because_the_client_goes_on_sending(status: bytes) -> None:
    async def handler(exchange: Exchange) -> Finished:
        return await answered(exchange, keep_alive=False)

    async with connected(handler) as peer:
        head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999\r\n"
        peer.send(head + (b"\r\n" if status == b"200" else b""))
        for _ in range(8):
            peer.send(b"A: b\r\n" * 20_000)
            await asyncio.sleep(0.02)
        got = await peer.rest()
    assert got.startswith(b"HTTP/1.1 " + status)


@pytest.mark.parametrize(
    ("raw", "status", "body"),
    [
        pytest.param(b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nhi", 403, b"hi", id="a length"),
        pytest.param(
            b"HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
            403,
            b"hi",
            id="chunks",
        ),
        pytest.param(b"HTTP/1.0 403 No\r\n\r\nhi", 403, b"hi", id="up to the end"),
        pytest.param(b"HTTP/1.1 204 No\r\n\r\n", 204, b"", id="no body"),
    ],
)
@pytest.mark.parametrize("cut", [0, 5, 18])
async def test_an_ordinary_response_can_be_read_from_a_connection_that_began_as_an_upgrade(
    raw: bytes, status: int, body: bytes, cut: int
) -> None:
    head = raw.index(b"\r\n\r\n") + 4

    async with raw_backend(raw[head + cut :]) as transport:
        got, fields, stream = await response_body(transport, raw[: head + cut])
        assert (got, await asyncio.wait_for(stream.read(), LIMIT)) == (status, body)
        assert all(name and value for name, value in fields)


async def test_a_response_that_breaks_off_is_a_client_error() -> None:
    async with raw_backend(b"h") as transport:
        _, _, stream = await response_body(
            transport, b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\n"
        )
        with pytest.raises(aiohttp.ClientError):
            await asyncio.wait_for(stream.read(), LIMIT)


@pytest.mark.parametrize("target", ["/", "/a?", "/?", "/a?b=%20", "/a//../%2e?b?#"])
async def test_a_target_is_sent_as_it_is(target: str) -> None:
    got: asyncio.Queue[bytes] = asyncio.Queue()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got.put_nowait(await reader.readline())
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listener:
        host, port = listener.sockets[0].getsockname()
        async with aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.ClientError):
                await session.get(exact_url(f"http://{host}:{port}", target))
    assert got.get_nowait() == f"GET {target} HTTP/1.1\r\n".encode()


@asynccontextmanager
async def raw_backend(data: bytes) -> AsyncIterator[asyncio.Transport]:
    """A paused connection to a server that sends `data` and ends."""

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    address = listener.sockets[0].getsockname()
    transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, *address)
    transport.pause_reading()
    try:
        yield transport
    finally:
        transport.abort()
        listener.close()
        await asyncio.sleep(0)


def test_it_refuses_to_start_on_the_pure_python_parser() -> None:
    started = subprocess.run(
        [sys.executable, "-c", "import wsroute_sidecar.adapter"],
        env=os.environ | {"AIOHTTP_NO_EXTENSIONS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert started.returncode != 0
    assert "pure-Python parser" in started.stderr.splitlines()[-1]


async def test_interim_responses_are_told_of_and_not_taken_for_the_answer() -> None:
    async def backend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        interim = (b"HTTP/1.1 %d x\r\nA: b\r\n\r\n" % status for status in (100, 102, 103))
        writer.write(b"".join(interim) + OK + b"ok")
        writer.close()
        await writer.wait_closed()

    told: list[Any] = []

    async def interim(status: int, fields: Any) -> None:
        told.append((status, fields))

    server = await asyncio.start_server(backend, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, aiohttp.ClientSession(connector=Pool()) as session:
        with telling(interim):
            response = await session.get(f"http://127.0.0.1:{port}/")
        assert (response.status, await response.read()) == (200, b"ok")
    assert told == [(102, ((b"A", b"b"),)), (103, ((b"A", b"b"),))]
