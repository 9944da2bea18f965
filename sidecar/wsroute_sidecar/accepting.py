"""Connections for the native engine, which are accepted without a transport.

The event loop watches the listener alone, and the engine's crate accepts what has come, each with
what its client has sent. A transport, and aiohttp's protocol on it, cost more than all the rest of
a handshake, only to be taken apart for the tunnel. So a plain request to upgrade remains a
descriptor; all others get their transport, as does one that gets another answer than a tunnel.
"""

from __future__ import annotations

import asyncio
import os
import socket
from typing import Any, Final

from wsroute_api import log
from wsroute_sidecar._relay import Request, accept
from wsroute_sidecar.adapter import Handler, Server
from wsroute_sidecar.forward import Begin

_BATCH: Final = 32
"""Connections that are accepted before the event loop has its turn."""

_RESPITE: Final = 1.0
"""Seconds without a look at the listener when the process can open no more files."""


class Acceptor:
    """Gives the connections of `listeners` to `begin`, or to `server`, and closes them at last."""

    def __init__(self, server: Server, listeners: list[socket.socket], begin: Begin) -> None:
        self._loop: Final = asyncio.get_running_loop()
        self._begin: Final = begin
        self._server: Final = server
        self._listeners: Final = listeners
        self._settling: Final[set[asyncio.Task[Any]]] = set()
        for listener in listeners:
            self._watch(listener)

    def close(self) -> None:
        """Accept no more."""
        for listener in self._listeners:
            self._loop.remove_reader(listener)
            listener.close()

    def _watch(self, listener: socket.socket) -> None:
        if listener.fileno() >= 0:
            self._loop.add_reader(listener, self._accept, listener)

    def _accept(self, listener: socket.socket) -> None:
        try:
            accepted = accept(listener.fileno(), _BATCH)
        except OSError as error:
            log.error("accept_failed", error)
            self._loop.remove_reader(listener)
            self._loop.call_later(_RESPITE, self._watch, listener)
            return
        for fd, peer, sent in accepted:
            if self._server.overfull(1):
                os.close(fd)
            elif isinstance(sent, bytes):
                self._settle(fd, peer, sent)
            else:
                self._upgrade(fd, peer, sent)

    def _upgrade(self, fd: int, peer: str, request: Request) -> None:
        def answer(fd: int, handler: Handler) -> None:
            self._settle(fd, peer, request.received, handler)

        try:
            begun = self._begin(request, peer, fd, answer)
        except Exception as error:  # noqa: BLE001 - the next connection is somebody else's
            log.error("upgrade_failed", error)
            begun = False
        if not begun:
            self._settle(fd, peer, request.received)

    def _settle(self, fd: int, peer: str, data: bytes, handler: Handler | None = None) -> None:
        settling = self._loop.create_task(self._server.settle(fd, peer, data, handler))
        self._settling.add(settling)
        settling.add_done_callback(self._settling.discard)
