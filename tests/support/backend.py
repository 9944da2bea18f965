"""A backend on a raw socket: it records every byte that it is sent, and does as it is told."""

from __future__ import annotations

import base64
import hashlib
import re
import socket
import struct
import threading
from collections.abc import Callable
from typing import Final, Self

LIMIT: Final = 20.0
"""Seconds for anything that a connection waits for."""

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_END: Final = b"\r\n\r\n"


class Connection:
    """One connection of the sidecar's, with all that came over it."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock: Final = sock
        self.received: Final = bytearray()
        self.ended = False
        """Whether the sidecar has ended its output, or cut the connection."""

    def receive(self) -> bytes:
        """The next bytes; nothing at the end."""
        try:
            data = self._sock.recv(256 * 1024)
        except ConnectionError:
            data = b""
        self.received.extend(data)
        self.ended = not data
        return data

    def until(self, end: bytes) -> bytes:
        """All that has come, once it contains `end` or is over."""
        while end not in self.received and self.receive():
            pass
        return bytes(self.received)

    def send(self, data: bytes) -> None:
        """Send all of it, as far as anyone takes it."""
        try:
            self._sock.sendall(data)
        except ConnectionError:
            self.ended = True

    def finish(self) -> None:
        """End the own output."""
        self._sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Cut the connection with a reset."""
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._sock.close()

    def drain(self) -> None:
        """Receive until the sidecar ends the connection."""
        while self.receive():
            pass

    def echo(self) -> None:
        """Send everything back until the sidecar ends the connection."""
        while data := self.receive():
            self.send(data)


Script = Callable[[Connection], None]
"""What to do with a connection; it is closed afterwards."""


def accept_of(head: bytes) -> bytes:
    """Sec-WebSocket-Accept for the request `head`."""
    key = re.search(rb"(?i)\r\nsec-websocket-key: *([^\r]*)", head)
    digest = hashlib.sha1((key[1] if key else b"") + _GUID, usedforsecurity=False).digest()
    return base64.b64encode(digest)


def switching(head: bytes) -> bytes:
    """A right answer to the upgrade request `head`."""
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept_of(head) + _END
    )


def ordinary(connection: Connection) -> None:
    """Echo over WebSocket; answer everything else with 200 once its body is there."""
    head = connection.until(_END)
    if b"\r\nupgrade: websocket\r\n" in head.lower():
        connection.send(switching(head))
        connection.echo()
        return
    if length := re.search(rb"(?i)\r\ncontent-length: *(\d+)", head):
        body = len(head.partition(_END)[0]) + len(_END) + int(length[1])
        while len(connection.received) < body and connection.receive():
            pass
    elif b"chunked" in head.lower():
        connection.until(b"\r\n0\r\n\r\n" if b"\r\n\r\n0\r\n" not in head else b"0\r\n\r\n")
    connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")


class Backend:
    """Listens from `with` to its end; each connection plays `script` in its own thread."""

    def __init__(self, script: Script = ordinary) -> None:
        self.script = script
        self.connections: list[Connection] = []
        self._listener: Final = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self._threads: list[threading.Thread] = []
        self._starting: Final = threading.Lock()
        self._acceptor: Final = threading.Thread(target=self._accept, daemon=True)

    @property
    def port(self) -> int:
        """Where it listens."""
        port: int = self._listener.getsockname()[1]
        return port

    @property
    def received(self) -> bytes:
        """All that has come over all connections."""
        return b"".join(bytes(connection.received) for connection in self.connections)

    def __enter__(self) -> Self:
        self._acceptor.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._acceptor.join(LIMIT)
        self._listener.close()
        self.settle()

    def reset(self, script: Script = ordinary) -> None:
        """Forget what was, and play `script` from now on."""
        self.settle()
        self.script = script
        self.connections.clear()

    def settle(self) -> None:
        """Wait until all connections are over."""
        with self._starting:
            threads, self._threads = self._threads, []
        for thread in threads:
            thread.join(LIMIT)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.settimeout(LIMIT)
            connection = Connection(sock)
            thread = threading.Thread(
                target=self._play, args=(sock, connection, self.script), daemon=True
            )
            with self._starting:
                self.connections.append(connection)
                self._threads.append(thread)
                thread.start()

    @staticmethod
    def _play(sock: socket.socket, connection: Connection, script: Script) -> None:
        with sock:
            script(connection)
