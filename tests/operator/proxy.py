"""A TCP proxy in front of an API server that can fall silent without closing a connection."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import Final, Self


class Proxy:
    """Listens on a loopback port from `with` to its end.

    Attributes:
        port: Where it listens.
    """

    def __init__(self, target: int) -> None:
        """`target` is the loopback port that it leads to."""
        self._target: Final = target
        self._listener: Final = socket.create_server(("127.0.0.1", 0))
        self._accepting: Final = threading.Thread(target=self._accept)
        self._lines: Final[list[_Line]] = []
        self.port: Final[int] = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        self._accepting.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._accepting.join()
        self._listener.close()
        for line in self._lines:
            line.cut()

    def mute(self) -> int:
        """Have what is connected now stay connected, and hear nothing any more; how many it is."""
        live = [line for line in self._lines if line.live]
        for line in live:
            line.speaks.clear()
        return len(live)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._lines.append(_Line(client, self._target))


class _Line:
    """One connection; `speaks` is set unless it is mute."""

    def __init__(self, client: socket.socket, target: int) -> None:
        self.speaks: Final = threading.Event()
        self.speaks.set()
        server = socket.create_connection(("127.0.0.1", target))
        self._sockets: Final = (client, server)
        self._threads: Final = [
            threading.Thread(target=self._carry, args=ways)
            for ways in ((client, server), (server, client))
        ]
        for thread in self._threads:
            thread.start()

    @property
    def live(self) -> bool:
        """Whether it carries bytes both ways."""
        return self.speaks.is_set() and all(thread.is_alive() for thread in self._threads)

    def cut(self) -> None:
        for end in self._sockets:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self.speaks.set()
        for thread in self._threads:
            thread.join()
        for end in self._sockets:
            end.close()

    def _carry(self, source: socket.socket, sink: socket.socket) -> None:
        """Carry bytes, and then their end."""
        with suppress(OSError):
            while data := source.recv(65536):
                self.speaks.wait()
                sink.sendall(data)
        self.speaks.wait()
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)
