"""Frames as the crowd of a load test speaks them: whole messages, and masks that cost nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

BINARY: Final = 0x2
CLOSE: Final = 0x8
PING: Final = 0x9
CONTROL: Final = 0x8
"""The least opcode of a control frame."""


def frame(opcode: int, payload: bytes, *, mask: bool) -> bytes:
    """A whole frame; its mask is zero, which leaves the payload as it is."""
    size, bit = len(payload), 0x80 * mask
    if size < 126:
        head = bytes((0x80 | opcode, bit | size))
    elif size < 1 << 16:
        head = bytes((0x80 | opcode, bit | 126)) + size.to_bytes(2)
    else:
        head = bytes((0x80 | opcode, bit | 127)) + size.to_bytes(8)
    return head + bytes(4 * mask) + payload


class Frames:
    """Takes whole frames from a stream."""

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Opcode and payload of each frame that `data` completes."""
        buffer = self._buffer + data if self._buffer else data
        at = 0
        while (found := _parse(buffer, at)) is not None:
            opcode, payload, at = found
            yield opcode, payload
        self._buffer = buffer[at:]


def _parse(data: bytes, at: int) -> tuple[int, bytes, int] | None:
    if len(data) < at + 2:
        return None
    length, body = data[at + 1] & 0x7F, at + 2
    if length > 125:
        size = 2 if length == 126 else 8
        length = int.from_bytes(data[body : body + size])
        body += size
    key = data[body : body + 4] if data[at + 1] & 0x80 else b""
    body += len(key)
    if len(data) < body + length:
        return None
    payload = data[body : body + length]
    return data[at] & 0x0F, _unmasked(payload, key) if any(key) else payload, body + length


def _unmasked(payload: bytes, key: bytes) -> bytes:
    return bytes(byte ^ key[index & 3] for index, byte in enumerate(payload))
