"""All that is used of the internals of aiohttp's client; tests/sidecar/test_adapter.py holds it."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

from aiohttp import ClientError, ClientPayloadError, TCPConnector
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import RawResponseMessage
from aiohttp.streams import StreamReader
from yarl import URL

from wsroute_sidecar.requests import RawHeaders

_TOLD: Final = range(102, 200)
"""Interim responses that are passed on. 100 is the affair of the proxy, which has met the client's
Expect itself; 101 is a final one."""

Interim = Callable[[int, RawHeaders], Awaitable[None]]
"""What is done with an interim response's status and header fields."""

_interim: Final[ContextVar[Interim]] = ContextVar("_interim")


@contextmanager
def telling(interim: Interim) -> Iterator[None]:
    """Give `interim` the interim responses to a request, which aiohttp passes over."""
    token = _interim.set(interim)
    try:
        yield
    finally:
        _interim.reset(token)


class _Responses(ResponseHandler):
    """aiohttp's protocol of the client, for which a reset would end a body as a FIN does.

    Who waits for the final response reads the interim ones, one by one, and drops them.
    """

    async def read(self) -> tuple[RawResponseMessage, StreamReader]:
        message, body = await super().read()
        if message.code in _TOLD:
            await _interim.get()(message.code, message.raw_headers)
        return message, body

    def connection_lost(self, exc: BaseException | None) -> None:
        if exc is not None and self._payload is not None:
            self._payload.set_exception(ClientPayloadError("the connection broke"))
        super().connection_lost(exc)


class Pool(TCPConnector):
    """Connections to the backends, as many as are needed."""

    def __init__(self) -> None:
        super().__init__(limit=0, keepalive_timeout=4.0)
        self._factory: Any = functools.partial(_Responses, loop=self._loop)


def exact_url(origin: str, target: str) -> URL:
    """The URL for which aiohttp's client sends `target` as it is, an empty query included."""
    url = URL(origin + target, encoded=True)
    url._cache["raw_path_qs"] = target
    return url


async def response_body(
    transport: asyncio.Transport, received: bytes
) -> tuple[int, tuple[tuple[bytes, bytes], ...], StreamReader]:
    """Read an ordinary response from a connection that began as an upgrade.

    Args:
        transport: The paused connection.
        received: The response's head, and what came with it.

    Returns:
        Status, header fields, and a stream of the body without its framing.

    Raises:
        aiohttp.ClientError: It is no response.
    """
    reader = _Responses(asyncio.get_running_loop())
    transport.set_protocol(reader)
    reader.connection_made(transport)
    reader.set_response_params(read_until_eof=True, auto_decompress=False)
    reader.data_received(received)
    transport.resume_reading()
    try:
        message, body = await reader.read()
    except HttpProcessingError as error:
        raise ClientError(str(error)) from error
    return message.code, message.raw_headers, body
