"""A backend of its own process that echoes messages: `python -m tests.support.echo PORT ROOM`.

It reads from nobody who does not read its echoes, and answers a Close with the same.
ROOM is the size of the kernel's buffers for a connection, in bytes; 0 for what the kernel likes.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import uvloop

from tests.support.frames import CLOSE, PING, Frames, frame

_BACKLOG: Final = 4096
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_KEY: Final = re.compile(rb"(?i)\r\nsec-websocket-key: *([^\r]*)")


class Echo(asyncio.Protocol):
    """One connection."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self._head: bytes | None = b""
        self._frames = Frames()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # uvloop's is no subclass of it

    def data_received(self, data: bytes) -> None:
        if self._head is not None:
            self._head += data
            head, end, data = self._head.partition(b"\r\n\r\n")
            if not end:
                return
            self._head = None
            self.transport.write(_answer(head))
        for opcode, payload in self._frames.feed(data):
            if opcode != PING + 1:
                back = PING + 1 if opcode == PING else opcode
                self.transport.write(frame(back, payload, mask=False))
            if opcode == CLOSE:
                self.transport.close()

    def pause_writing(self) -> None:
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        self.transport.resume_reading()


def _answer(head: bytes) -> bytes:
    found = _KEY.search(head)
    if found is None:
        return b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n"
    accept = base64.b64encode(hashlib.sha1(found[1] + _GUID, usedforsecurity=False).digest())
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )


def narrow(sock: socket.socket, room: int) -> None:
    """Let the kernel hold `room` bytes for each direction; small segments keep the peer's few."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, room)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1400)


class Backend:
    """The running process, which may be killed and started again on its port."""

    def __init__(self, room: int) -> None:
        self.port = 0
        self._room: Final = room
        self.start()

    def start(self) -> None:
        """Start it, and wait until it listens."""
        command = [sys.executable, "-m", "tests.support.echo", str(self.port), str(self._room)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def kill(self) -> None:
        """End it as a crash does."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


@contextmanager
def echoing(room: int = 0) -> Iterator[Backend]:
    """A running backend."""
    backend = Backend(room)
    try:
        yield backend
    finally:
        backend.kill()


async def _serve(port: int, room: int) -> None:
    listener = socket.create_server(("127.0.0.1", port), backlog=_BACKLOG)
    if room:
        narrow(listener, room)
    server = await asyncio.get_running_loop().create_server(Echo, sock=listener, backlog=_BACKLOG)
    print(listener.getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1]), int(sys.argv[2])))
