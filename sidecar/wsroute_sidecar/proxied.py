"""Connections that come through trusted proxies, which say by the PROXY protocol for whom."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, cast

from wsroute_sidecar import proxy_protocol
from wsroute_sidecar.adapter import HEAD_TIMEOUT, Server, malformed


class ProxiedServer:
    """Connections of trusted proxies, each of which begins with a PROXY protocol header."""

    def __init__(self, server: Server, trusts: Callable[[str], bool]) -> None:
        self.server: Final = server
        self.trusts: Final = trusts
        self.prefaces: Final[set[_Preface]] = set()
        """Those whose header has not come yet: they count as connections."""

    def __call__(self) -> asyncio.Protocol:
        """The protocol of a new connection."""
        return _Preface(self)


class _Preface(asyncio.Protocol):
    """Reads the PROXY protocol header, then gives the connection to the server."""

    def __init__(self, proxied: ProxiedServer) -> None:
        self._proxied: Final = proxied
        self._front: Final = proxied.server()
        self._received = bytearray()
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        if not self._proxied.trusts(peer[0]):
            self._hand_over()
            return
        self._proxied.prefaces.add(self)
        if self._proxied.server.overfull(len(self._proxied.prefaces)):
            self._transport.abort()
            return
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(HEAD_TIMEOUT, self._transport.abort)

    def data_received(self, data: bytes) -> None:
        self._received += data
        try:
            header = proxy_protocol.parse(self._received)
        except ValueError as error:
            malformed(client=self._transport.get_extra_info("peername")[0], why=str(error))
            self._transport.abort()
            return
        if header is not None:
            self._front.proxied = header.address
            del self._received[: header.size]
            self._hand_over()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end()

    def _end(self) -> None:
        self._proxied.prefaces.discard(self)
        if self._timer is not None:
            self._timer.cancel()

    def _hand_over(self) -> None:
        self._end()
        self._transport.set_protocol(self._front)
        self._front.connection_made(self._transport)
        if self._received:
            self._front.data_received(bytes(self._received))
