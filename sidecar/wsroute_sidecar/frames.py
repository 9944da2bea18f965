"""Frames of RFC 6455 on their way through a tunnel: one `Tracker` for each direction.

The rules:

- What goes out is what came in, but for three things: control frames of the sidecar's own go in
  between two frames; pongs that answer its pings are taken out; and after its Close, or from a
  message beyond the limit on, nothing more goes out.
- Control frames (at most 131 bytes) and the heads of data frames are held back until they are
  whole. So what was let out always ends between two frames or in the payload of a data frame, and
  a message is known to be too large before a byte of the frame that makes it so was let out.
- Payloads are never kept.
- A stream that cannot be parsed goes through unchanged from there on, and so does what follows a
  Close; nothing is put in any more. Where messages have a limit neither goes out, as either could
  carry a message of any size.
- Frames are judged, not messages: text, compressed data and lengths that are not in their shortest
  form are the end points' business.
"""

from __future__ import annotations

import enum
import secrets
from collections.abc import Iterator
from typing import Final, NamedTuple

# First bytes (FIN, RSV1 to RSV3, opcode) by the place where they may stand. RSV1 is set on the
# first frame of a compressed message (RFC 7692 section 6); the other reserved bits and opcodes
# have no meaning.
_TEXT, _BINARY, _FIN, _RSV1 = 0x01, 0x02, 0x80, 0x40
_FIRST: Final = frozenset(
    opcode | fin | rsv for opcode in (_TEXT, _BINARY) for fin in (0, _FIN) for rsv in (0, _RSV1)
)
_NEXT: Final = frozenset({0x00, 0x00 | _FIN})
_WHOLE: Final = frozenset(first for first in _FIRST if first & _FIN)
_CLOSE, _PING, _PONG = 0x08 | _FIN, 0x09 | _FIN, 0x0A | _FIN
_CONTROL: Final = frozenset({_CLOSE, _PING, _PONG})

_MASK: Final = 0x80
_SHORT: Final = 125  # the longest payload of a control frame, and with a length of 7 bits
_LENGTH_16: Final = 126  # in the second byte: the length follows in 2 bytes, with 127 in 8
_NO_LIMIT: Final = (1 << 64) - 1
_REASON_MAX: Final = _SHORT - 2

_SENDABLE: Final = frozenset({*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)})
"""Close codes that may stand in a frame (RFC 6455 section 7.4 and IANA's registry)."""


class Close(NamedTuple):
    """What a Close frame says; no code when the frame has none."""

    code: int | None
    reason: bytes
    """At most 123 bytes; UTF-8 if its sender is honest."""


def close_frame(code: int, reason: str, *, mask: bool) -> bytes:
    """A Close frame, its `reason` cut to what fits; ValueError for a code that is never sent."""
    if code not in _SENDABLE:
        raise ValueError(f"{code} is not a close code that may be sent")
    text = reason.encode(errors="replace")[:_REASON_MAX].decode(errors="ignore").encode()
    return _frame(_CLOSE, code.to_bytes(2) + text, mask=mask)


def ping_frame(payload: bytes, *, mask: bool) -> bytes:
    """A Ping frame; ValueError when `payload` is longer than 125 bytes."""
    if len(payload) > _SHORT:
        raise ValueError(f"a ping carries at most {_SHORT} bytes, not {len(payload)}")
    return _frame(_PING, payload, mask=mask)


def _frame(first: int, payload: bytes, *, mask: bool) -> bytes:
    if not mask:
        return bytes((first, len(payload))) + payload
    key = secrets.token_bytes(4)
    return bytes((first, _MASK | len(payload))) + key + _masked(payload, key)


def _masked(payload: bytes, key: bytes) -> bytes:
    return bytes(byte ^ key[index & 3] for index, byte in enumerate(payload))


class _Verdict(enum.Enum):
    HOLD = enum.auto()
    """Too little has come to decide."""
    PASS = enum.auto()
    DROP = enum.auto()
    LAST = enum.auto()
    """What follows is not parsed."""


class Tracker:
    """Follows one direction of a tunnel in constant memory.

    Args:
        masked: True for what the client sends (RFC 6455 section 5.1).
        max_message: Most payload bytes, as on the wire, in one message.
    """

    __slots__ = (
        "_held",
        "_key",
        "_left",
        "_limit",
        "_mask",
        "_message",
        "_parsing",
        "_pending",
        "_plain",
        "_shut",
        "broken",
        "close",
        "data_bytes",
        "messages",
        "own_ping",
        "passing",
        "ponged",
        "too_big",
    )

    def __init__(self, *, masked: bool, max_message: int | None = None) -> None:
        self.messages = 0
        """Data messages whose last frame has begun."""
        self.data_bytes = 0
        """Bytes of data frames, heads included: grows with whatever is no control frame."""
        self.close: Close | None = None
        """The Close that came."""
        self.broken = False
        """It cannot be parsed as frames; where there is a `max_message`, nothing more goes out."""
        self.too_big = False
        """A message went beyond `max_message`; neither it nor what follows goes out."""
        self.own_ping: bytes | None = None
        """Payload of the sidecar's own pings: pongs that carry it are taken out."""
        self.ponged = False
        """Whether such a pong has come; to be set back by who has seen it."""
        self.passing = True
        """Whether it goes out: not behind the sidecar's own Close, nor beyond `max_message`."""
        self._left = 0  # bytes of the current data frame that are still to come, its key included
        self._message: int | None = None  # payload so far of a message whose last frame is to come
        self._held = b""
        self._pending = b""  # the own Close, to be put in at the end of the current frame
        self._parsing = True
        self._shut = False  # nothing may be put in any more
        self._plain = True  # nothing is held, pending, cut or unparsed
        self._mask, self._key = (_MASK, 4) if masked else (0, 0)  # second byte's bit; key's size
        self._limit = _NO_LIMIT if max_message is None else max_message

    @property
    def at_boundary(self) -> bool:
        """Whether what was let out ends between two frames."""
        return not (self._left and self.passing)

    def feed(self, data: bytes) -> bytes:
        """What goes out now that `data` has come: the same object, as a rule."""
        at = 0
        if self._plain:
            size = len(data)
            if self._left >= size:
                self._left -= size
                self.data_bytes += size
                return data
            if not self._left:
                at = self._skip_messages(data, 0)
                if at == size:
                    return data
        elif self._parsing:
            data, self._held = self._held + data, b""
        else:
            return data if self.passing else b""
        out = b"".join(self._scan(data, at))
        self._plain = self._parsing and self.passing and not (self._held or self._pending)
        return out

    def insert(self, frame: bytes) -> bytes:
        """What to write now for `frame`, a control frame of the sidecar's own to this receiver.

        Within a data frame that is nothing: a Close comes out of `feed` at that frame's end, any
        other frame is dropped. So is each one after a Close, be it the sidecar's or one that
        passed, and in a broken stream.
        """
        if self._shut:
            return b""
        out = frame if self.at_boundary else b""
        if frame[0] == _CLOSE:
            self._shut = True
            self._plain = False
            if out:
                self.passing = False
            else:
                self._pending = frame
        return out

    def flush(self) -> bytes:
        """What was held back of a frame that the end of the stream has cut off."""
        if not self.passing:
            return b""
        self._shut = self._shut or bool(self._held)
        return self._held

    def _skip_messages(self, data: bytes, at: int) -> int:
        """Where the messages end that stand whole, and in one short frame each, from `at` on."""
        if self._message is not None:
            return at
        start, end, head = at, len(data), 2 + self._key
        while end - at >= head and data[at] in _WHOLE:
            length = data[at + 1] ^ self._mask  # above 127 where the mask bit is wrong
            stop = at + head + length
            if length > _SHORT:
                if length != _LENGTH_16 or end - at < 4:
                    break
                length = data[at + 2] << 8 | data[at + 3]
                stop = at + head + 2 + length
            if stop > end or length > self._limit:
                break
            at = stop
            self.messages += 1
        self.data_bytes += at - start
        return at

    def _scan(self, data: bytes, at: int) -> Iterator[bytes]:
        """The parts of `data` that go out, and the pending Close after them."""
        end = len(data)
        start = 0 if self.passing else end  # data[start:at] is to go out
        while True:
            at += self._skip_payload(end - at)
            if self._left:
                break
            if self._pending:
                yield data[start:at]
                yield self._pending
                self._pending, self.passing, start = b"", False, end
            at = self._skip_messages(data, at)
            verdict, size = self._judge(data, at)
            if verdict is _Verdict.HOLD:
                self._held = data[at:]
                break
            if verdict is _Verdict.LAST:
                self._parsing = False
                if self._limit == _NO_LIMIT:
                    at = end
                else:
                    at, self.passing = at + size, False
                break
            if verdict is _Verdict.DROP:
                yield data[start:at]
                start = at + size if self.passing else end
            at += size
        yield data[start:at]

    def _skip_payload(self, available: int) -> int:
        size = min(self._left, available)
        self._left -= size
        self.data_bytes += size
        return size

    def _judge(self, data: bytes, at: int) -> tuple[_Verdict, int]:
        """What to do with the frame at `at`, and with how many bytes of it."""
        if len(data) < at + 2:
            return _Verdict.HOLD, 0
        first, second = data[at], data[at + 1]
        if second & _MASK == self._mask:
            if first in (_FIRST if self._message is None else _NEXT):
                return self._judge_data(data, at)
            if first in _CONTROL and second & ~_MASK <= _SHORT:
                return self._judge_control(data, at)
        return self._break()

    def _break(self) -> tuple[_Verdict, int]:
        self.broken = True
        self._shut = self._shut or (self.passing and self._limit == _NO_LIMIT)
        return _Verdict.LAST, 0

    def _judge_data(self, data: bytes, at: int) -> tuple[_Verdict, int]:
        length, size = data[at + 1] & ~_MASK, 2
        if length > _SHORT:
            size = 4 if length == _LENGTH_16 else 10
            if len(data) < at + size:
                return _Verdict.HOLD, 0
            length = int.from_bytes(data[at + 2 : at + size])
        total = (self._message or 0) + length
        if total > self._limit:
            self.too_big = True
            self.passing = False
        elif length >> 63:  # RFC 6455 section 5.2: the most significant bit is 0
            return self._break()
        fin = data[at] & _FIN
        self._message = None if fin else total
        self._left = length + self._key
        self.messages += bool(fin)
        self.data_bytes += size
        return (_Verdict.PASS if self.passing else _Verdict.DROP), size

    def _judge_control(self, data: bytes, at: int) -> tuple[_Verdict, int]:
        body = at + 2 + self._key
        end = body + (data[at + 1] & ~_MASK)
        if len(data) < end:
            return _Verdict.HOLD, 0
        if data[at] == _PING:
            return _Verdict.PASS, end - at
        payload = data[body:end]
        if self._mask:
            payload = _masked(payload, data[at + 2 : body])
        if data[at] == _CLOSE:
            code = int.from_bytes(payload[:2]) if len(payload) > 1 else None
            self.close = Close(code, payload[2:])
            self._shut = self._shut or self.passing
            return _Verdict.LAST, end - at
        if payload != self.own_ping:
            return _Verdict.PASS, end - at
        self.ponged = True
        return _Verdict.DROP, end - at
