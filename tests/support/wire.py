"""Bytes and frames on a raw socket: what a well-behaved client or server would not do."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Generator
from typing import Final, NamedTuple

from websockets.frames import Close, Frame, Opcode
from websockets.streams import StreamReader

LIMIT: Final = 5.0
"""Seconds for anything that is read."""

_CHUNK: Final = 256 * 1024


class Seen(NamedTuple):
    """A frame as it arrived, unmasked."""

    opcode: Opcode
    data: bytes
    fin: bool = True
    masked: bool = False

    @property
    def close(self) -> tuple[int, str]:
        """Code and reason of a Close frame."""
        parsed = Close.parse(self.data)
        return int(parsed.code), parsed.reason


def frame(opcode: Opcode, data: bytes, *, mask: bool, fin: bool = True) -> bytes:
    """Any frame."""
    return Frame(opcode, data, fin).serialize(mask=mask)


def text(data: str, *, mask: bool, fin: bool = True) -> bytes:
    """A text message, or its first frame."""
    return frame(Opcode.TEXT, data.encode(), mask=mask, fin=fin)


def more(data: str, *, mask: bool, fin: bool = True) -> bytes:
    """A further frame of a message."""
    return frame(Opcode.CONT, data.encode(), mask=mask, fin=fin)


def close(code: int, reason: str = "", *, mask: bool) -> bytes:
    """A Close frame."""
    return frame(Opcode.CLOSE, Close(code, reason).serialize(), mask=mask)


def parse(data: bytes) -> list[Seen]:
    """The frames of a stream that ends with the last of them."""
    reader = StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    found = []
    while reader.buffer:
        mask = bool(reader.buffer[1] & 0x80)
        whole = _result(Frame.parse(reader.read_exact, mask=mask))
        found.append(Seen(whole.opcode, bytes(whole.data), whole.fin, mask))
    return found


def _result(parsing: Generator[None, None, Frame]) -> Frame:
    try:
        next(parsing)
    except StopIteration as end:
        found: Frame = end.value
        return found
    raise EOFError


class Wire:
    """One end of a TCP connection."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.sock: Final = sock
        self._loop: Final = asyncio.get_running_loop()

    async def send(self, data: bytes) -> None:
        """Send all of it."""
        await self._loop.sock_sendall(self.sock, data)

    async def read(self, size: int) -> bytes:
        """Exactly `size` bytes; EOFError with what came before an early end."""
        data = bytearray()
        async with asyncio.timeout(LIMIT):
            while len(data) < size:
                piece = await self._loop.sock_recv(self.sock, min(size - len(data), _CHUNK))
                if not piece:
                    raise EOFError(bytes(data))
                data += piece
        return bytes(data)

    async def until(self, end: bytes) -> bytes:
        """What comes up to `end`, which is included; nothing beyond is read."""
        data = b""
        while not data.endswith(end):
            data += await self.read(1)
        return data

    async def frame(self) -> Seen:
        """The next frame."""
        raw = await self.read(2)
        length = raw[1] & 0x7F
        if length > 125:
            size = await self.read(2 if length == 126 else 8)
            raw, length = raw + size, int.from_bytes(size, "big")
        key = 4 if raw[1] & 0x80 else 0
        return parse(raw + await self.read(key + length))[0]

    async def rest(self) -> bytes:
        """All up to the end of input; ConnectionResetError when the connection is cut."""
        data = bytearray()
        async with asyncio.timeout(LIMIT):
            while piece := await self._loop.sock_recv(self.sock, _CHUNK):
                data += piece
        return bytes(data)

    def end_output(self) -> None:
        """Half-close: send FIN, and go on reading."""
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Vanish with RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def leave(self) -> None:
        """Close."""
        self.sock.close()
