"""The client of the strictness tests: bytes out, bytes in, and what they mean."""

from __future__ import annotations

import re
import socket
from typing import Final, NamedTuple

LIMIT: Final = 15.0
"""Seconds for anything that is read."""

KEY: Final = b"dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT: Final = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
SMUGGLED: Final = b"GET /smuggled HTTP/1.1\r\nHost: smuggled.example\r\n\r\n"
MARK: Final = b"smuggled"


def request(
    *fields: bytes, target: bytes = b"/", method: bytes = b"GET", body: bytes = b""
) -> bytes:
    """A request with a right Host and these further field lines."""
    lines = [method + b" " + target + b" HTTP/1.1", b"Host: a.example", *fields]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def upgrade(
    *more: bytes,
    target: bytes = b"/",
    without: bytes | None = None,
    method: bytes = b"GET",
    body: bytes = b"",
) -> bytes:
    """A right upgrade request, with further field lines and without the fields `without`."""
    fields = [
        b"Upgrade: websocket",
        b"Connection: Upgrade",
        b"Sec-WebSocket-Version: 13",
        b"Sec-WebSocket-Key: " + KEY,
    ]
    kept = [line for line in fields if without is None or not line.startswith(without + b":")]
    return request(*kept, *more, target=target, method=method, body=body)


class Reply(NamedTuple):
    """A response as it was read."""

    status: int
    head: bytes
    body: bytes
    rest: bytes
    """What came after it, up to the end of the connection."""

    def field(self, name: bytes) -> list[bytes]:
        """All values of the field `name`."""
        return re.findall(rb"(?i)\r\n" + re.escape(name) + rb": ?([^\r]*)", self.head)


class Client:
    """A raw connection to the sidecar."""

    def __init__(self, port: int) -> None:
        self.sock: Final = socket.create_connection(("127.0.0.1", port), LIMIT)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = b""

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def send(self, data: bytes, *, piecewise: bool = False) -> None:
        """Send `data`, whole or a byte at a time, as far as it is taken."""
        pieces = [data[i : i + 1] for i in range(len(data))] if piecewise else [data]
        try:
            for piece in pieces:
                self.sock.sendall(piece)
        except ConnectionError:
            return

    def finish(self) -> None:
        """End the own output."""
        self.sock.shutdown(socket.SHUT_WR)

    def more(self) -> bytes:
        """The next bytes; nothing at the end. A reset is an end, too."""
        try:
            data = self.sock.recv(256 * 1024)
        except ConnectionError:
            data = b""
        self.received += data
        return data

    def until(self, end: bytes) -> bytes:
        """All that has come, once it contains `end` or is over."""
        while end not in self.received and self.more():
            pass
        return self.received

    def exactly(self, size: int) -> bytes:
        """The next `size` bytes, or what there is until the end."""
        while len(self.received) < size and self.more():
            pass
        data, self.received = self.received[:size], self.received[size:]
        return data

    def rest(self) -> bytes:
        """All that comes up to the end of the connection."""
        while self.more():
            pass
        data, self.received = self.received, b""
        return data

    def head(self) -> bytes:
        """The next message head, without its blank line."""
        self.until(b"\r\n\r\n")
        head, _, self.received = self.received.partition(b"\r\n\r\n")
        return head

    def reply(self, *, method: bytes = b"GET") -> Reply:
        """The next response, with its body by Content-Length; status 0 where there is none."""
        head = self.head()
        status = re.match(rb"HTTP/1\.1 ([0-9]{3}) ", head)
        length = re.search(rb"(?i)\r\ncontent-length: ?([0-9]+)", head)
        bodiless = method == b"HEAD" or status is None or status[1] in (b"101", b"204", b"304")
        body = b"" if bodiless or length is None else self.exactly(int(length[1]))
        return Reply(int(status[1]) if status else 0, head, body, b"")

    def last_reply(self, *, method: bytes = b"GET") -> Reply:
        """The next response, and all that comes after it to the end of the connection."""
        reply = self.reply(method=method)
        return reply._replace(rest=self.rest())
