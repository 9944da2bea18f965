"""All that is used of the internals of aiohttp's server; tests/sidecar/test_adapter.py holds each.

aiohttp parses requests, keeps connections alive and frames bodies. What is added here: a deadline
for request heads, answers to malformed requests in one line, response heads as bytes, and the
hand-over of a connection to a relay engine, after which nothing of aiohttp is left on it.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final, cast

from aiohttp import http_parser
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_exceptions import LineTooLong
from aiohttp.http_parser import RawRequestMessage
from aiohttp.http_writer import StreamWriter
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web_protocol import RequestHandler, RequestPayloadError, _ErrInfo
from aiohttp.web_request import BaseRequest
from aiohttp.web_server import Server as WebServer

from wsroute_api import log
from wsroute_sidecar import headers
from wsroute_sidecar.flood import Limited
from wsroute_sidecar.requests import MAX_FIELDS_SIZE

MAX_PARSED: Final = 1000
"""Fields of a head, or of trailers, that are held at all; requests.check allows fewer."""

HEAD_TIMEOUT: Final = 10.0
"""Seconds from a request's first byte to the end of its head."""

KEEPALIVE_TIMEOUT: Final = 75.0
LINGER: Final = 1.0
"""Seconds that a client has to stop sending what was refused."""

MAX_TARGET: Final = 8190
MAX_FIELD: Final = 16 * 1024
MAX_HEAD: Final = MAX_FIELDS_SIZE + MAX_TARGET
"""Bytes that are held of a head before its end; a whole one is measured by requests.check."""
MAX_EARLY: Final = 64 * 1024
"""Bytes that a client may send before the backend's 101; then it is not read any more."""

malformed: Final = Limited("request_malformed")
"""Says so in the log, whatever reads the request."""
_NOBODY: Final = asyncio.Protocol()

if http_parser.HttpRequestParser is http_parser.HttpRequestParserPy:
    raise ImportError("aiohttp runs on its pure-Python parser: install a build with the C one")


class Exchange:
    """One request, and the ways to answer it."""

    __slots__ = (
        "_front", "_message", "_payload", "_writer", "body_is_broken", "headers", "last", "method",
        "peer", "scheme", "target", "version",
    )  # fmt: skip

    def __init__(
        self,
        front: _Front,
        message: RawRequestMessage,
        payload: StreamReader,
        writer: AbstractStreamWriter,
    ) -> None:
        self._front: Final = front
        self._writer: Final = writer
        self._message: Final = message
        self._payload: Final = payload
        self.body_is_broken = False
        """Whether the body that is read has turned out to be malformed."""
        self.last = False
        """Whether the connection ends with its answer, whatever the client wants."""
        self.method: Final = message.method
        self.target: Final = message.path
        self.version: Final[tuple[int, int]] = message.version
        self.headers: Final = message.raw_headers
        """Header fields as they came."""
        self.peer: Final = _peer(front)
        self.scheme: Final = "https" if front.ssl_context else "http"

    @property
    def keep_alive(self) -> bool:
        """Whether the connection may live on, as the client wants it (RFC 9112 section 9.3).

        Not after an upgrade that was not made: what follows may be of either protocol (RFC 9931).
        Nor after chunks, because aiohttp's parser puts a trailer into the next request's head.
        """
        message = self._message
        return not (self.last or message.should_close or message.upgrade or message.chunked)

    @property
    def wants_upgrade(self) -> bool:
        """Whether aiohttp's parser took it for a request to upgrade to WebSocket."""
        return bool(self._message.upgrade)

    @property
    def has_body(self) -> bool:
        """Whether a body follows the head."""
        return self._payload is not EMPTY_PAYLOAD

    async def body(self, *, ask: bool) -> AsyncIterator[bytes]:
        """The request's body in pieces; with `ask`, the client is first told to go on with it.

        While nothing of it has come the first piece is empty: with it goes the head.
        """
        if ask:
            await self.tell(b"HTTP/1.1 100 Continue\r\n\r\n")
        if not self._payload.total_bytes:
            yield b""
        try:
            async for piece in self._payload.iter_any():
                yield piece
        except RequestPayloadError:
            self.body_is_broken = True
            raise

    async def tell(self, head: bytes) -> None:
        """Send an interim response; the final one is still to come."""
        await self._writer.write(head)

    def start(self, head: bytes, *, chunked: bool) -> StreamWriter:
        """Begin a response with `head`; the writer frames and paces what is written to it."""
        writer = self._writer
        assert isinstance(writer, StreamWriter)  # noqa: S101 - what aiohttp's server makes
        writer._headers_buf = head
        if chunked:
            writer.enable_chunking()
        return writer

    def abort(self) -> None:
        """Reset the connection, so that nobody takes a cut-off response for a whole one."""
        if (transport := self._transport) is not None:
            at_once = struct.pack("ii", 1, 0)
            transport.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, at_once
            )
            transport.abort()

    @property
    def _transport(self) -> asyncio.Transport | None:
        return self._front.transport

    @property
    def bare(self) -> bool:
        """Whether the connection is a socket and nothing more: no TLS, nothing to be written."""
        transport = self._transport
        if transport is None or self.scheme == "https":
            return False
        return not transport.get_write_buffer_size()

    def take(self) -> tuple[asyncio.Transport, bytes]:
        """Detach the connection from aiohttp; with it, what the client has sent early."""
        transport = self._transport
        if transport is None or transport.is_closing():
            # its descriptor may be another's already
            raise ConnectionResetError("the client has left")
        return transport, self._front.let_go()

    def take_socket(self) -> tuple[int, bytes]:
        """As `take`, the descriptor of a bare one: whoever asks has to close it."""
        transport, early = self.take()
        try:
            return os.dup(transport.get_extra_info("socket").fileno()), early
        finally:
            transport.set_protocol(_NOBODY)
            transport.abort()

    async def answer(self, handler: Handler) -> None:
        """Have it answered, as aiohttp's own machinery has all but upgrades; close what is left."""
        try:
            await handler(self)
        except ConnectionError:
            pass  # the client has left
        except Exception as error:  # noqa: BLE001 - any fault of the handler, as in aiohttp's own
            log.error("request_failed", error)
            if not self._writer.output_size:
                self._front.fail(error)
        self._front.finish()


class Finished:
    """A response that has been written already, in the place of aiohttp's own."""

    __slots__ = ("keep_alive", "status")

    def __init__(self, *, keep_alive: bool, status: int = 0) -> None:
        self.keep_alive = keep_alive
        self.status = status

    async def prepare(self, request: BaseRequest) -> None:
        """Nothing is left to be done."""

    async def write_eof(self) -> None:
        """Nothing is left to be done."""


Handler = Callable[[Exchange], Awaitable[Finished]]


class _Front(RequestHandler):
    """aiohttp's protocol, with a deadline for heads and with errors in one line.

    Its machinery (a task and a timer for each connection, and a task for each request) begins with
    a first request that is none to upgrade: after one to upgrade, none other follows.
    """

    __slots__ = (
        "_answered", "_begun", "_first", "_handler", "_head_size", "_head_timer", "proxied",
    )  # fmt: skip

    def __init__(self, manager: Any, **settings: Any) -> None:
        super().__init__(manager, **settings)
        self._begun = False
        """Whether there has been a request."""
        self._head_timer: asyncio.TimerHandle | None = None
        self._head_size = 0
        """Bytes of a head that is not finished."""
        self._answered = 0
        """Requests that are done with, of the `_request_count` that have come."""
        self._first = b""
        """What had come before there was a transport."""
        self._handler: Handler = manager.handler
        """Who answers a request to upgrade."""
        self.proxied: str | None = None
        """The client's address, where a trusted proxy, or the kernel, has said it."""

    @property
    def _server(self) -> Server:
        return cast(Server, self._manager)

    def follow(self, peer: str, data: bytes, handler: Handler | None) -> _Front:
        """Take up a client with the `data` it has sent; `handler` answers its upgrade."""
        self.proxied, self._first = peer, data
        self._handler = handler or self._handler
        return self

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._server.connection_made(self, self.transport)
        if self._handler is self._server.handler and self._server.overfull():
            self.transport.abort()  # but one whom somebody is about to answer was counted before
            return
        self._server.silent.add(self)
        if self._first:
            data, self._first = self._first, b""
            self.data_received(data)

    def let_go(self) -> bytes:
        """Forget the connection, and leave it open; what has come early on it."""
        early, self._message_tail = self._message_tail, b""
        self._task_handler = None  # so that what follows does not cancel who is asking
        self.transport = None
        self.connection_lost(None)
        return early

    def data_received(self, data: bytes) -> None:
        room = MAX_HEAD - self._head_size
        if len(data) > room and self._request_count == self._answered:
            self._feed(data[:room])  # so that the parser never sees more of a head
            data = data[room:]
        self._feed(data)

    def _feed(self, data: bytes) -> None:
        super().data_received(data)
        if self._messages and isinstance(error := self._messages[-1][0], _ErrInfo):
            if data.count(b"\n") > MAX_PARSED:  # too many for the parser, which says no more
                self._messages[-1] = (_ErrInfo(431, error.exc, error.message), EMPTY_PAYLOAD)
            self._break_body()
        if self._messages and not self._begun:
            self._begin()
        if self._request_count > self._answered:
            self._stop_head_timer()
            self._head_size = 0
        elif not (self._upgraded or self._force_close):
            self._head_size += len(data)
            if self._head_size >= MAX_HEAD:
                self._refuse_head(431)
            elif self._head_timer is None:
                self._head_timer = self._loop.call_later(HEAD_TIMEOUT, self._refuse_head, 408)

    def _begin(self) -> None:
        self._begun = True
        self._server.silent.discard(self)
        if self._upgraded and len(self._messages) == 1:
            message, payload = self._messages.popleft()
            writer = StreamWriter(self, self._loop)
            exchange = Exchange(self, cast(RawRequestMessage, message), payload, writer)
            answer = exchange.answer(self._handler)
            self._task_handler = self._loop.create_task(answer)
        elif self.transport is not None:
            super().connection_made(self.transport)

    def fail(self, error: Exception) -> None:
        """Answer that the request to upgrade could not be handled."""
        self._task_handler = None
        self._refuse(500, type(error).__name__)

    def finish(self) -> None:
        """Close the connection after the answer to its request to upgrade."""
        self._task_handler = None
        if self.transport is not None:
            self.transport.close()

    async def _handle_request(self, *args: Any) -> tuple[Any, bool]:
        try:
            return await super()._handle_request(*args)
        finally:
            self._answered += 1

    def _break_body(self) -> None:
        """Tell the reader of a body that it cannot be parsed on: the C parser does not."""
        bodies = [body for _, body in self._messages]
        if self._current_request is not None:
            bodies.insert(0, self._current_request._payload)
        for body in bodies:
            if not body.is_eof():
                body.set_exception(RequestPayloadError("the body is malformed"))
                self._lingering_time = 0.0  # nothing of it can be read any more

    def connection_lost(self, exc: BaseException | None) -> None:
        self._stop_head_timer()
        if not self._begun and self._manager is not None:
            self._server.silent.discard(self)
        super().connection_lost(exc)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _refuse_head(self, status: int) -> None:
        self._refuse(status, "UnfinishedHead")

    def handle_error(  # type: ignore[override] # aiohttp asks of a response what Finished has
        self,
        request: BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> Finished:
        if isinstance(exc, ConnectionError):
            raise exc  # the client has left, and aiohttp goes by that
        if status == 500:
            log.error("request_failed", exc)
        elif isinstance(exc, LineTooLong):
            status = 414 if exc.args[1] == MAX_TARGET else 431
        if request.writer.output_size > 0:
            raise ConnectionResetError("a response has begun already")
        self._refuse(status, type(exc).__name__)
        return Finished(keep_alive=False, status=status)

    def _refuse(self, status: int, why: str) -> None:
        if status != 500:
            malformed(client=_peer(self), status=status, why=why)
        head, body = headers.refusal(status, _PLAIN_WORDS[status], close=True, bodiless=False)
        transport, self.transport = self.transport, None
        if transport is not None:
            transport.write(head + body)
            transport.set_protocol(_Lingering(transport))
        self.connection_lost(None)


class _Silent:
    """Connections without a request yet: all have equally long, so one timer is enough."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop: Final = loop
        self._until: dict[_Front, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, front: _Front) -> None:
        """Cut `front` after KEEPALIVE_TIMEOUT."""
        self._until[front] = self._loop.time() + KEEPALIVE_TIMEOUT
        if self._timer is None:
            self._timer = self._loop.call_later(KEEPALIVE_TIMEOUT, self._cut)

    def discard(self, front: _Front) -> None:
        """Let `front` be."""
        self._until.pop(front, None)

    def _cut(self) -> None:
        self._timer = None
        now = self._loop.time()
        for front, until in list(self._until.items()):
            if until > now:
                self._timer = self._loop.call_at(until, self._cut)
                break
            front.force_close()


class _Lingering(asyncio.Protocol):
    """Reads on for a while, as a reset would take the answer from the client (RFC 9112 9.6)."""

    def __init__(self, transport: asyncio.Transport) -> None:
        if transport.can_write_eof():
            transport.write_eof()
        loop = asyncio.get_running_loop()
        self._timer: Final = loop.call_later(LINGER, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        self._timer.cancel()


def _peer(protocol: _Front) -> str:
    if protocol.proxied is not None:
        return protocol.proxied
    peer = protocol.peername
    return peer[0] if isinstance(peer, tuple) else ""


_PLAIN_WORDS: Final = {
    400: "the request is malformed",
    408: "the request's head took too long",
    414: "the request's target is too long",
    431: "the request's headers are too large",
    500: "the request could not be handled; the sidecar's log says why",
    504: "the request took too long",
}


class Server(WebServer):
    """Makes a protocol for each connection; calls `handler` for each request.

    A new connection is cut where `full` says so of how many there are, tunnels not counted.
    """

    def __init__(
        self, handler: Handler, full: Callable[[int], bool] = lambda connections: False
    ) -> None:
        self._full: Final = full
        self.handler: Final = handler
        self.silent: Final = _Silent(asyncio.get_running_loop())

        async def handle(request: BaseRequest) -> Any:
            return await handler(
                Exchange(
                    cast(_Front, request.protocol),
                    request._message,
                    request._payload,
                    request._payload_writer,
                )
            )

        super().__init__(
            handle,
            handler_cancellation=True,
            access_log=None,
            auto_decompress=False,
            keepalive_timeout=KEEPALIVE_TIMEOUT,
            lingering_time=LINGER,
            max_field_size=MAX_FIELD,
            max_headers=MAX_PARSED,
            max_line_size=MAX_TARGET,
            read_bufsize=MAX_EARLY,
        )

    def overfull(self, others: int = 0) -> bool:
        """Whether there is one connection too many, with `others` that it has not got yet."""
        return self._full(len(self._connections) + others)

    def __call__(self) -> _Front:
        return _Front(self, loop=self._loop, **self._kwargs)

    async def settle(self, fd: int, peer: str, data: bytes, handler: Handler | None = None) -> None:
        """Give `fd` a transport, and its client a protocol: see `_Front.follow`."""
        front = self().follow(peer, data, handler)
        await self._loop.connect_accepted_socket(lambda: front, socket.socket(fileno=fd))
