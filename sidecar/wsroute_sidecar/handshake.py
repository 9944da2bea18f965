"""The opening handshake (RFC 6455 section 4): the client's request and the backend's answer.

Only `Upgrade: websocket`, alone, nominated by Connection, in a GET of HTTP/1.1, is an upgrade
request. Any other Upgrade is ignored and dropped, as RFC 9110 section 7.8 allows: the request is
plain HTTP then. An upgrade request that breaks RFC 6455 is refused here, before the backend.

A tunnel exists only after a 101 with `Upgrade: websocket`, `Connection: upgrade` and the right
Sec-WebSocket-Accept. Any other final status is an ordinary response; everything else is a 502.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from typing import Final

import msgspec

from wsroute_sidecar.requests import Head, RawHeaders, Refusal, indexed, tokens

MAX_HEAD: Final = 64 * 1024
"""Bytes of a backend's response head, its blank line included; a longer one is a 502."""

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})(?: [\t\x20-\x7e\x80-\xff]*)?\Z")
_FIELD: Final = re.compile(rb"([A-Za-z0-9!#$%&'*+.^_`|~-]+):[ \t]*([^\x00\r\n]*?)[ \t]*\Z")


class Upgrade(msgspec.Struct, frozen=True):
    """A valid upgrade request."""

    accept: bytes
    """The Sec-WebSocket-Accept that proves the backend understood."""
    subprotocols: tuple[str, ...]
    """What the client offers, in its order."""


def upgrade_request(
    head: Head, version: tuple[int, int], *, has_body: bool
) -> Upgrade | Refusal | None:
    """The upgrade that `head` asks for, None if it asks for none, or why it is refused."""
    fields = head.fields
    if tokens(fields, b"upgrade") != [b"websocket"] or version < (1, 1):
        return None
    if b"upgrade" not in head.options:
        return None
    if head.method != "GET":
        return Refusal(400, "a WebSocket handshake is a GET (RFC 6455 section 4.1)")
    if has_body:
        return Refusal(400, "a WebSocket handshake has no body")
    versions = fields.get(b"sec-websocket-version", ())
    if len(versions) != 1:
        return Refusal(400, "sec-websocket-version must stand there exactly once")
    if versions[0] != b"13":
        return Refusal(426, "the only WebSocket version is 13", _SUPPORTED)
    keys = fields.get(b"sec-websocket-key", ())
    if len(keys) != 1 or not _is_nonce(keys[0]):
        return Refusal(400, "sec-websocket-key must be the base64 of 16 bytes, exactly once")
    offered = b",".join(fields.get(b"sec-websocket-protocol", ())).decode()
    return Upgrade(accept_for(keys[0]), tuple(p.strip() for p in offered.split(",") if p.strip()))


_SUPPORTED: Final = (
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("Sec-WebSocket-Version", "13"),
)


def accept_for(key: bytes) -> bytes:
    """Sec-WebSocket-Accept for Sec-WebSocket-Key (RFC 6455 section 4.2.2)."""
    return base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())


def _is_nonce(key: bytes) -> bool:
    try:
        return len(key) == 24 and len(base64.b64decode(key, validate=True)) == 16
    except binascii.Error:
        return False


class Answer(msgspec.Struct, frozen=True):
    """A backend's response head."""

    status: int
    headers: RawHeaders


class Switched(msgspec.Struct, frozen=True):
    """The backend agreed: a tunnel begins."""

    headers: RawHeaders
    subprotocol: str


class BadAnswer(Exception):  # noqa: N818 - it is an answer, and the backend's error
    """What the backend sent is no acceptable answer to an upgrade: a 502."""


def head_end(data: bytes | bytearray) -> int:
    """Length of the head at the start of `data`, its blank line included; 0 if unfinished."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        if len(data) > MAX_HEAD:
            raise BadAnswer("its response head is too long")
        return 0
    if end > MAX_HEAD:
        raise BadAnswer("its response head is too long")
    return end + 4


def parse_head(head: bytes) -> Answer:
    """The response head in `head`, strictly; BadAnswer where two readers could disagree."""
    lines = head[:-4].split(b"\r\n")
    status = _STATUS_LINE.match(lines[0])
    if status is None:
        raise BadAnswer("it does not answer in HTTP/1.1")
    fields = []
    for line in lines[1:]:
        field = _FIELD.match(line)
        if field is None:
            raise BadAnswer("its response has a malformed header")
        fields.append((field[1], field[2]))
    return Answer(int(status[1]), tuple(fields))


def verdict(answer: Answer, upgrade: Upgrade) -> Switched | Answer:
    """Whether `answer` opens the tunnel, or is an ordinary response; BadAnswer if neither.

    Interim responses (RFC 9110 section 15.2) are ordinary ones, too: it is for the reader to skip
    them and go on to the final one.
    """
    if answer.status != 101:
        return answer
    fields = indexed(answer.headers)
    if tokens(fields, b"upgrade") != [b"websocket"]:
        raise BadAnswer("its 101 does not say Upgrade: websocket")
    if b"upgrade" not in tokens(fields, b"connection"):
        raise BadAnswer("its 101 does not say Connection: Upgrade")
    if fields.get(b"sec-websocket-accept") != [upgrade.accept]:
        raise BadAnswer("its 101 has a wrong Sec-WebSocket-Accept")
    chosen = b",".join(fields.get(b"sec-websocket-protocol", ()))
    return Switched(answer.headers, chosen.decode("latin-1"))
