"""Plain HTTP to the backend: the same request, streamed both ways.

aiohttp's client keeps connections to the backend and frames bodies; heads pass as the bytes that
they are, so a header that is not UTF-8 reaches the client unchanged.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Final

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from wsroute_sidecar import headers
from wsroute_sidecar.adapter import Exchange, Finished, response_body
from wsroute_sidecar.dial import Refused
from wsroute_sidecar.headers import Fields, Modifier
from wsroute_sidecar.relay_types import DialError
from wsroute_sidecar.requests import RawHeaders, values

_SKIPPED: Final = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
_BODILESS: Final = frozenset({204, 304})


class Backend:
    """A pool of connections to the ports of this pod."""

    def __init__(self, host: str) -> None:
        self._host: Final = f"[{host}]" if ":" in host else host
        self._session: Final = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=4.0),
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
            URL(f"http://{self._host}:{port}{target}", encoded=True),
            headers=CIMultiDict((n.decode(), v.decode()) for n, v in fields),
            data=exchange.body(ask=expects) if exchange.has_body else None,
            allow_redirects=False,
        )
        begun = False
        try:
            async with asyncio.timeout(limit), request as response:
                begun = True
                return await _answer(
                    exchange, response.status, response.raw_headers, response.content, modifier
                )
        except (aiohttp.ClientError, TimeoutError) as error:
            if begun:
                exchange.abort()
                return Finished(keep_alive=False)
            if isinstance(error, TimeoutError):
                raise DialError(
                    504, "backend_timeout", f"no response within {limit:g} s"
                ) from error
            raise DialError(
                502, "backend_unreachable", f"the backend on port {port} failed: {error}"
            ) from error


async def refused(exchange: Exchange, answer: Refused, modifier: Modifier) -> Finished:
    """Relay the backend's ordinary answer to an upgrade; both connections end with it."""
    try:
        status, fields, body = await response_body(answer.transport, answer.early)
        return await _answer(exchange, status, fields, body, modifier, close=True)
    except aiohttp.ClientError as error:
        raise DialError(
            502, "backend_answer", f"the backend's answer is not acceptable: {error}"
        ) from error
    finally:
        answer.transport.abort()


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
    measured = bool(values(raw, b"content-length"))
    chunked = not (bodiless or measured) and exchange.version >= (1, 1)
    if chunked:
        fields.append((b"Transfer-Encoding", b"chunked"))
    keep_alive = exchange.keep_alive and not close and (bodiless or measured or chunked)
    if not keep_alive:
        fields.append((b"Connection", b"close"))
    elif exchange.version < (1, 1):
        fields.append((b"Connection", b"keep-alive"))
    head = headers.serialize(b"HTTP/1.1 %d %s" % (status, _reason(status)), fields)
    writer = exchange.start(head, chunked=chunked)
    if not bodiless:
        writer.send_headers()
        async for piece in body.iter_any():
            await writer.write(piece)
    await writer.write_eof()
    return Finished(keep_alive=keep_alive, status=status)


def _reason(status: int) -> bytes:
    """The reason phrase, which no client may rely on (RFC 9112 section 4)."""
    try:
        return HTTPStatus(status).phrase.encode()
    except ValueError:
        return b"Unknown"
