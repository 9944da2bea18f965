"""Connections for the native engine, which are accepted without a transport.

The event loop watches the listener alone, and the engine's crate accepts what has come, each with
what its client has sent. A request to upgrade goes to `upgrading` as it is; all others get their
transport.
"""

from __future__ import annotations

import asyncio
import os
import socket
from typing import Any, Final

from wsroute_api import log
from wsroute_sidecar._relay import accept
from wsroute_sidecar.adapter import Server
from wsroute_sidecar.upgrading import Scout

_BATCH: Final = 32
"""Connections that are accepted before the event loop has its turn."""

_RESPITE: Final = 1.0
"""Seconds without a look at the listener when the process can open no more files."""


class Acceptor:
    """Gives the connections of `listeners` to `server`; it closes them in the end."""

    def __init__(self, server: Server, listeners: list[socket.socket]) -> None:
        self._loop: Final = asyncio.get_running_loop()
        self._server: Final = server
        self._scout: Final = Scout(server)
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
        for fd, peer, data in accepted:
            if self._server.overfull(1):
                os.close(fd)
            elif not self._scout.upgrade(fd, peer, data):
                settling = self._loop.create_task(self._server.settle(fd, peer, data))
                self._settling.add(settling)
                settling.add_done_callback(self._settling.discard)
