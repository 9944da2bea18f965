"""Plain HTTP to the backend: the same request, streamed both ways.

aiohttp's client keeps connections to the backend and frames bodies; heads pass as the bytes that
they are, so a header that is not UTF-8 reaches the client unchanged.
"""

from __future__ import annotations

import asyncio
import functools
from http import HTTPStatus
from typing import Final

import aiohttp
from multidict import CIMultiDict

from wsroute_sidecar import headers
from wsroute_sidecar.adapter import Exchange, Finished
from wsroute_sidecar.adapter_client import Pool, exact_url, response_body, telling
from wsroute_sidecar.dial import Refused
from wsroute_sidecar.headers import Fields, Modifier
from wsroute_sidecar.relay_types import DialError
from wsroute_sidecar.requests import CONTROL, RawHeaders, indexed

_SKIPPED: Final = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
_VERSIONS: Final = (aiohttp.HttpVersion10, aiohttp.HttpVersion11)
_BODILESS: Final = frozenset({204, 304})


class Backend:
    """A pool of connections to the ports of this pod."""

    def __init__(self, host: str) -> None:
        self._host: Final = f"[{host}]" if ":" in host else host
        self._session: Final = aiohttp.ClientSession(
            connector=Pool(),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=_SKIPPED,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
            max_line_size=64 * 1024,
            max_field_size=64 * 1024,
            trust_env=False,
        )

    async def close(self) -> None:
        """Close what is pooled."""
        await self._session.close()

    async def forward(
        self,
        exchange: Exchange,
        *,
        port: int,
        target: str,
        fields: Fields,
        modifier: Modifier,
        limit: float | None,
    ) -> Finished:
        """Send the request on, and the response back, within `limit` seconds.

        Raises:
            DialError: No response has begun; nothing was sent to the client.
        """
        expects = any(name.lower() == b"expect" for name, _ in exchange.headers)
        request = self._session.request(
            exchange.method,
            exact_url(f"http://{self._host}:{port}", target),
            headers=_headers(fields),
            data=exchange.body(ask=expects) if exchange.has_body else None,
            allow_redirects=False,
        )

        status = 0
        try:
            async with asyncio.timeout(limit):
                with telling(functools.partial(_interim, exchange, modifier)):
                    response = await request
                async with response:
                    if why := _problem(response):
                        response.close()
                        raise DialError(502, "backend_answer", f"the backend {why}")
                    status = response.status
                    return await _answer(
                        exchange, status, response.raw_headers, response.content, modifier
                    )
        except (aiohttp.ClientError, TimeoutError) as error:
            return _failed(exchange, status, port, error)


def _problem(response: aiohttp.ClientResponse) -> str | None:
    """What aiohttp, which reads responses leniently, lets pass and the client must not get."""
    if response.status == HTTPStatus.SWITCHING_PROTOCOLS:
        return "switches protocols unasked"
    if not (100 <= response.status <= 599 and response.version in _VERSIONS):
        return "does not answer in HTTP/1.1"
    if _has_control(response.raw_headers):
        return "has a control character in a header"
    return None


def _has_control(raw: RawHeaders) -> bool:
    return CONTROL.search(b"".join(value for _, value in raw)) is not None


async def _interim(exchange: Exchange, modifier: Modifier, status: int, raw: RawHeaders) -> None:
    """Pass an interim response on, as RFC 9110 section 15.2 wants it; HTTP/1.0 has none."""
    if exchange.version < (1, 1) or _has_control(raw):
        return
    fields = headers.to_client(raw, modifier)
    fields = [field for field in fields if field[0].lower() != b"content-length"]
    await exchange.tell(headers.serialize(_status_line(status), fields))


def _headers(fields: Fields) -> CIMultiDict[str]:
    """For aiohttp, which of two spellings of a name would drop the first with its value."""
    spelling: dict[bytes, bytes] = {}
    names = (spelling.setdefault(name.lower(), name).decode() for name, _ in fields)
    return CIMultiDict(zip(names, (value.decode() for _, value in fields), strict=True))


async def refused(
    exchange: Exchange, answer: Refused, port: int, modifier: Modifier, limit: float | None
) -> Finished:
    """Relay the backend's ordinary answer to an upgrade within `limit` seconds.

    Both connections end with it.

    Raises:
        DialError: It is no response; nothing was sent to the client.
    """
    status = 0
    try:
        async with asyncio.timeout(limit):
            code, raw, body = await response_body(answer.transport, answer.early)
            status = code
            return await _answer(exchange, status, raw, body, modifier, close=True)
    except (aiohttp.ClientError, TimeoutError) as error:
        return _failed(exchange, status, port, error)
    finally:
        answer.transport.abort()


def _failed(exchange: Exchange, status: int, port: int, error: Exception) -> Finished:
    """Cut a response that has begun with `status`; DialError where none has."""
    if status:
        exchange.abort()
        return Finished(keep_alive=False, status=status)
    if isinstance(error, TimeoutError):
        cause, why = "backend_timeout", f"the backend on port {port} did not respond in time"
        raise DialError(504, cause, why) from error
    if isinstance(error, aiohttp.ClientConnectorError):
        cause, why = "backend_unreachable", f"the backend on port {port} refused: {error.strerror}"
    elif isinstance(error, aiohttp.ClientConnectionError):
        cause, why = "backend_answer", f"the backend on port {port} broke the connection"
    else:
        cause, why = "backend_answer", f"the backend on port {port} does not speak HTTP"
    raise DialError(502, cause, why) from error


async def _answer(
    exchange: Exchange,
    status: int,
    raw: RawHeaders,
    body: aiohttp.StreamReader,
    modifier: Modifier,
    *,
    close: bool = False,
) -> Finished:
    """Write a response; its body is framed as the backend's was, or chunked, or by the end."""
    fields = headers.to_client(raw, modifier)
    bodiless = exchange.method == "HEAD" or status in _BODILESS
    measured = b"content-length" in indexed(raw)
    chunked = not (bodiless or measured) and exchange.version >= (1, 1)
    if chunked:
        fields.append((b"Transfer-Encoding", b"chunked"))
    keep_alive = exchange.keep_alive and not close and (bodiless or measured or chunked)
    if not keep_alive:
        fields.append((b"Connection", b"close"))
    elif exchange.version < (1, 1):
        fields.append((b"Connection", b"keep-alive"))
    head = headers.serialize(_status_line(status), fields)
    writer = exchange.start(head, chunked=chunked)
    if not bodiless:
        writer.send_headers()
        async for piece in body.iter_any():
            await writer.write(piece)
    await writer.write_eof()
    return Finished(keep_alive=keep_alive, status=status)


def _status_line(status: int) -> bytes:
    """With a reason phrase, which no client may rely on (RFC 9112 section 4)."""
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "Unknown"
    return f"HTTP/1.1 {status} {phrase}".encode()
