"""Requests to upgrade that are answered without a transport: most of them become tunnels at once.

A transport, and aiohttp's protocol on it, cost as much as the rest of a handshake, only to be taken
apart for the tunnel. Here the connection is a descriptor until the engine takes it. Whoever gets
another answer than a tunnel gets his transport first. What is used of aiohttp's internals is held
by tests/sidecar/test_accepting.py.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any, Final, cast

from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_parser import HttpRequestParser, RawRequestMessage
from aiohttp.http_writer import StreamWriter
from aiohttp.streams import EMPTY_PAYLOAD

from wsroute_sidecar.adapter import MAX_EARLY, MAX_FIELD, MAX_PARSED, MAX_TARGET, Exchange, Server

_Found = tuple[RawRequestMessage, bytes]
"""A request to upgrade, and what follows it."""


class Scout:
    """Finds requests to upgrade, with one parser for all: after each it is as good as new.

    What else there is, unfinished or wrong, is left to the parser of its own connection.
    """

    def __init__(self, server: Server) -> None:
        self._server: Final = server
        self._parser = _parser()

    def upgrade(self, fd: int, peer: str, data: bytes) -> bool:
        """Have `fd` answered, if what `peer` has sent on it is a request to upgrade."""
        found = self._read(data)
        if found is not None:
            Upgrading(self._server, fd, peer, data, found).begin()
        return found is not None

    def _read(self, data: bytes) -> _Found | None:
        try:
            messages, upgraded, early = self._parser.feed_data(data)
        except Exception:  # noqa: BLE001 - the connection's own parser finds it, too
            messages, upgraded = (), False
        if upgraded and len(messages) == 1:
            ((message, body),) = messages
            if body is EMPTY_PAYLOAD and not message.should_close:
                self._parser.set_upgraded(False)
                return message, early
        self._parser = _parser()
        return None


def _parser() -> Any:
    loop = asyncio.get_running_loop()
    return HttpRequestParser(
        BaseProtocol(loop),
        loop,
        MAX_EARLY,
        max_line_size=MAX_TARGET,
        max_field_size=MAX_FIELD,
        max_headers=MAX_PARSED,
    )


class Upgrading(Exchange):
    """A request to upgrade on a descriptor; to aiohttp's server it is a connection like others."""

    __slots__ = ("_data", "_early", "_fd", "_server", "_task")

    def __init__(self, server: Server, fd: int, peer: str, data: bytes, found: _Found) -> None:
        message, self._early = found
        super().__init__(message, EMPTY_PAYLOAD, peer, "http")
        self._data: Final = data
        self._fd: int | None = fd
        self._server: Final = server

    def begin(self) -> None:
        """Have it answered."""
        self._server.connection_made(cast(Any, self), cast(Any, None))
        self._task = asyncio.get_running_loop().create_task(self._answer())

    async def _answer(self) -> None:
        try:
            await self.answer(self._server.handler)
        finally:
            self.let_go()

    @property
    def bare(self) -> bool:
        """As `Exchange.bare`."""
        return self._fd is not None or super().bare

    def lend(self) -> tuple[int, bytes] | None:
        """As `Exchange.lend`."""
        fd, self._fd = self._fd, None
        return None if fd is None else (fd, self._early)

    def take_back(self, fd: int) -> None:
        """As `Exchange.take_back`."""
        self._fd = fd

    def let_go(self) -> None:
        """As `Exchange.let_go`; what is not lent is closed."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)
        self._server.forget(self)

    async def settle(self) -> None:
        """As `Exchange.settle`."""
        fd, self._fd = self._fd, None
        if fd is not None:
            try:
                self._front = await self._server.settle(fd, self.peer, self._data, self._task)
            finally:
                self._server.forget(self)
            self._writer = StreamWriter(self._front, self._task.get_loop())

    async def shutdown(self, seconds: float) -> None:
        """Wait for the answer, and then go without."""
        await asyncio.wait((self._task,), timeout=seconds)
        self._task.cancel()
