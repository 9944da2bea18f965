"""HTTP for programs: the ports and the socket that the operator, the kubelet and people ask.

`adapter` serves them as it serves clients, with the same deadlines and limits for heads and the
same lines for what is malformed. A port is a table of exact paths and their methods; a framework
for it would take 2 MB of each pod. Who leaves before the answer has asked nevertheless: what was
begun is ended.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final, NamedTuple
from urllib.parse import parse_qsl, urlsplit

import msgspec
from aiohttp.web_protocol import RequestPayloadError

from wsroute_sidecar import adapter, headers
from wsroute_sidecar.adapter import Exchange, Finished

MAX_BODY: Final = 1024 * 1024


class TooLarge(Exception):  # noqa: N818 - an answer to whoever has sent it
    """The request's body is larger than the port takes."""


class Reply(NamedTuple):
    """A whole answer."""

    status: int
    body: bytes
    content_type: str


def text(status: int, words: str, content_type: str = "text/plain; charset=utf-8") -> Reply:
    """An answer for people, and for who reads no more than the status."""
    return Reply(status, words.encode(), content_type)


def reply(status: int, **body: object) -> Reply:
    """An answer with `body` as a JSON object."""
    return Reply(status, msgspec.json.encode(body), "application/json")


class Request:
    """What a program asks."""

    def __init__(self, exchange: Exchange, query: str, limit: int) -> None:
        self._exchange: Final = exchange
        self._limit: Final = limit
        self.peer: Final = exchange.peer
        self.query: Final = dict(reversed(parse_qsl(query, keep_blank_values=True)))
        """The first value of each name."""

    async def read(self) -> bytes:
        """The body; TooLarge, if it is."""
        if not self._exchange.has_body:
            return b""
        expects = any(name.lower() == b"expect" for name, _ in self._exchange.headers)
        body = bytearray()
        async for piece in self._exchange.body(ask=expects):
            body += piece
            if len(body) > self._limit:
                self._exchange.last = True
                raise TooLarge
        return bytes(body)


Handler = Callable[[Request], Awaitable[Reply]]
Paths = Mapping[str, Mapping[str, Handler]]
"""What answers a path, by method; HEAD is a GET without its body."""


class Port:
    """What is answered on a port, to bodies of at most `max_body` bytes."""

    def __init__(self, paths: Paths, max_body: int = MAX_BODY) -> None:
        self._paths: Final = paths
        self._max_body: Final = max_body

    def server(self) -> adapter.Server:
        """What makes a protocol for each connection."""
        server = adapter.Server(self._answer)
        server.handler_cancellation = False
        return server

    async def _answer(self, exchange: Exchange) -> Finished:
        path, query = _split(exchange.target)
        methods = self._paths.get(path)
        if methods is None:
            return await _refused(exchange, 404, "there is nothing at this path")
        handler = methods.get("GET" if exchange.method == "HEAD" else exchange.method)
        if handler is None:
            allowed = ", ".join([*methods, "HEAD"] if "GET" in methods else methods)
            return await _refused(exchange, 405, f"this path takes {allowed}", ("Allow", allowed))
        try:
            answer = await handler(Request(exchange, query, self._max_body))
        except TooLarge:
            return await _refused(exchange, 413, f"the body is larger than {self._max_body} bytes")
        except RequestPayloadError:
            return await _refused(exchange, 400, "the request's body is malformed")
        return await _answered(exchange, answer)


def _split(target: str) -> tuple[str, str]:
    """Path and query, also of a target with scheme and host (RFC 9112 section 3.2.2)."""
    try:
        return urlsplit(target)[2:4]
    except ValueError:
        return "", ""


async def _refused(exchange: Exchange, status: int, why: str, *extra: tuple[str, str]) -> Finished:
    head, body = headers.refusal(status, why, extra, close=True, bodiless=exchange.method == "HEAD")
    return await _written(exchange, status, head, body, keep_alive=False)


async def _answered(exchange: Exchange, answer: Reply) -> Finished:
    fields = [
        (b"Server", b"wsroute"),
        (b"Content-Type", answer.content_type.encode()),
        (b"Content-Length", b"%d" % len(answer.body)),
    ]
    if not exchange.keep_alive:
        fields.append((b"Connection", b"close"))
    head = headers.serialize(headers.status_line(answer.status), fields)
    body = b"" if exchange.method == "HEAD" else answer.body
    return await _written(exchange, answer.status, head, body, keep_alive=exchange.keep_alive)


async def _written(
    exchange: Exchange, status: int, head: bytes, body: bytes, *, keep_alive: bool
) -> Finished:
    await exchange.start(head, chunked=False).write_eof(body)
    return Finished(keep_alive=keep_alive, status=status)
