"""Connections that are accepted without a transport: most of them become tunnels at once.

A transport costs as much as the rest of a handshake, and the native engine has no use for it. So
the event loop watches the listener alone. What has come with a new connection goes to its protocol
as it would from a transport; if it is a request to upgrade, the connection stays a socket until
the engine takes it. All others, and whoever gets another answer than a tunnel, get their transport.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Final

from wsroute_api import log
from wsroute_sidecar.adapter import Server

_BATCH: Final = 32
"""Connections that are accepted before the event loop has its turn."""

_PIECE: Final = 8 * 1024
"""Bytes that are read at once: a longer head is read by a transport."""

_RESPITE: Final = 1.0
"""Seconds without a look at the listener when the process can open no more files."""


class Acceptor:
    """Gives the connections of `listeners` to `server`; it closes them in the end."""

    def __init__(self, server: Server, listeners: list[socket.socket]) -> None:
        self._loop: Final = asyncio.get_running_loop()
        self._server: Final = server
        self._listeners: Final = listeners
        self._settling: Final[set[asyncio.Task[None]]] = set()
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
        for _ in range(_BATCH):
            try:
                connection, address = listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionAbortedError:
                continue
            except OSError as error:
                log.error("accept_failed", error)
                self._loop.remove_reader(listener)
                self._loop.call_later(_RESPITE, self._watch, listener)
                return
            self._begin(connection, address[0])

    def _begin(self, connection: socket.socket, peer: str) -> None:
        if self._server.overfull(1):
            connection.close()
            return
        connection.setblocking(False)
        try:
            data = connection.recv(_PIECE)
        except OSError:
            data = b""  # nothing has come yet, or the transport will see it, too
        front = self._server()
        if not front.begin(connection, peer, data):
            settling = self._loop.create_task(front.settle())
            self._settling.add(settling)
            settling.add_done_callback(self._settling.discard)
