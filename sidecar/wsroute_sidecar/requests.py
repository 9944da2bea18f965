"""What a request head must be before anything else looks at it.

The rule: what is ambiguous is refused with a clear status before the backend sees one byte. The
HTTP parser (llhttp in its strict mode) has refused broken syntax already; what is left is what two
careful parsers could still understand differently:

 - the target: origin form, or an absolute form that agrees with Host (RFC 9112 section 3.2);
   no fragment, no control or non-ASCII character, no incomplete percent-encoding, no %00
 - Host: exactly one in HTTP/1.1, a name or an address (RFC 9112 section 3.2); the encodings and
   delimiters of RFC 3986's registered names are in no host that a route can name
 - framing: not both Content-Length and Transfer-Encoding, each at most once, no coding but
   chunked, and none at all in HTTP/1.0 (RFC 9112 section 6)
 - field names that other software maps onto each other (underscores), and values that are not
   UTF-8 or hold control characters
 - Connection must not nominate a field that routing or security stands on (RFC 9110 section 7.6.1)
 - size: at most MAX_FIELDS fields and MAX_FIELDS_SIZE bytes of them (RFC 6585 section 5)
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import msgspec

from wsroute_api.problems import BROKEN_PERCENT

RawHeaders = Sequence[tuple[bytes, bytes]]

MAX_FIELDS: Final = 100
MAX_FIELDS_SIZE: Final = 64 * 1024
"""Bytes of all names and values together."""

_TARGET: Final = re.compile(r"/[!-\"$-~]*\Z")
_ABSOLUTE: Final = re.compile(r"(?i)(https?|wss?)://([^/?#@]+)([/?].*)?\Z", re.DOTALL)
HOST: Final = re.compile(
    rb"[A-Za-z0-9._-]+(?::[0-9]{0,5})?\Z"
    rb"|\[[0-9A-Fa-f:.]{2,45}\](?::[0-9]{0,5})?\Z"
)
_NAMES: Final = re.compile(rb"(?:[A-Za-z0-9!#$%&'*+.^`|~-]++(?::(?!\Z)|\Z))+\Z")
"""Names with a colon, which none may have, between them."""
CONTROL: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_NOT_HTTP: Final = frozenset(
    [
        "ANNOUNCE",
        "DESCRIBE",
        "FLUSH",
        "GET_PARAMETER",
        "PAUSE",
        "PLAY",
        "PRI",
        "RECORD",
        "REDIRECT",
        "SETUP",
        "SET_PARAMETER",
        "SOURCE",
        "TEARDOWN",
    ]
)
"""Methods of RTSP, Icecast and HTTP/2's preface, which llhttp knows, too."""
_SINGLE: Final = frozenset({b"host", b"content-length", b"transfer-encoding"})
_NEVER_NOMINATED: Final = frozenset(
    {
        b"host",
        b"authorization",
        b"cookie",
        b"content-length",
        b"content-type",
        b"origin",
        b"forwarded",
        b"x-real-ip",
        b"via",
    }
)


class Refusal(msgspec.Struct, frozen=True):
    """A request that goes no further: its status, and one line for the person who sent it."""

    status: int
    why: str
    headers: tuple[tuple[str, str], ...] = ()
    close: bool = True
    """Whether the connection ends with it, because what follows cannot be trusted."""
    cause: str = "malformed"
    """The same in one word of a closed list, for the metrics."""


class Head(msgspec.Struct, frozen=True):
    """A request head that means one thing only."""

    method: str
    target: str
    """Path and query as they are forwarded."""
    path: str
    query: str
    host: str
    """Host header as sent; empty where HTTP/1.0 sent none."""
    hostname: str
    """Host without port, lower case, without trailing dot: what routes are compared with."""
    headers: RawHeaders


def check(
    method: str, target: str, version: tuple[int, int], headers: RawHeaders
) -> Head | Refusal:
    """The head that can be trusted, or why there is none."""
    if method in _NOT_HTTP:
        return Refusal(501, f"{method} is no method of HTTP")
    if method == "CONNECT":
        return Refusal(405, "CONNECT is not for a reverse proxy", (("Allow", "GET, HEAD, POST"),))
    if version not in ((1, 0), (1, 1)):
        return Refusal(505, "only HTTP/1.1 and HTTP/1.0 are spoken here")
    if refusal := _fields_refusal(headers):
        return refusal
    singles = _singles(headers)
    if isinstance(singles, Refusal):
        return singles
    if why := _framing_problem(version, singles):
        return Refusal(400, why)
    return _with_target(method, target, version, headers, singles.get(b"host"))


def _fields_refusal(headers: RawHeaders) -> Refusal | None:
    """What is wrong with names or values, all looked at in one go: this runs for each handshake."""
    names = b":".join([name for name, _ in headers])
    values = b" ".join([value for _, value in headers])
    if len(headers) > MAX_FIELDS:
        return Refusal(431, f"there are more than {MAX_FIELDS} headers")
    if len(names) + len(values) > MAX_FIELDS_SIZE:
        return Refusal(431, f"the headers have more than {MAX_FIELDS_SIZE} bytes")
    if headers and not (_NAMES.match(names) and names.count(b":") == len(headers) - 1):
        return Refusal(400, "a header's name has a character that is refused, as underscores are")
    if CONTROL.search(values):
        return Refusal(400, "a header's value has a control character")
    if not values.isascii():
        try:
            values.decode()
        except UnicodeDecodeError:
            return Refusal(400, "a header's value is neither ASCII nor UTF-8")
    return None


def _singles(headers: RawHeaders) -> dict[bytes, bytes] | Refusal:
    """The fields that may stand there once, by name; what Connection and Expect say is checked."""
    singles: dict[bytes, bytes] = {}
    for name, value in headers:
        lower = name.lower()
        if lower in _SINGLE:
            if lower in singles:
                return Refusal(400, f"{lower.decode()} is repeated")
            singles[lower] = value
        elif lower == b"connection" and (why := _nomination_problem(value)):
            return Refusal(400, why)
        elif lower == b"expect" and value.lower() != b"100-continue":
            return Refusal(417, "the only expectation met here is 100-continue")
    return singles


def _nomination_problem(value: bytes) -> str | None:
    for token in value.lower().split(b","):
        name = token.strip()
        if name in _NEVER_NOMINATED or name.startswith((b"x-forwarded-", b"sec-websocket-")):
            return f"Connection must not nominate {name.decode()}"
    return None


def _framing_problem(version: tuple[int, int], singles: dict[bytes, bytes]) -> str | None:
    coding = singles.get(b"transfer-encoding")
    length = singles.get(b"content-length")
    if coding is not None:
        if length is not None:
            return "content-length and transfer-encoding exclude each other"
        if version < (1, 1):
            return "HTTP/1.0 has no transfer-encoding"
        if coding.lower() != b"chunked":
            return "the only transfer-encoding understood here is chunked"
    if length is not None and not (length.isdigit() and len(length) <= 18):
        return "content-length is not a number"
    return None


def _with_target(
    method: str, target: str, version: tuple[int, int], headers: RawHeaders, host: bytes | None
) -> Head | Refusal:
    if host is None and version >= (1, 1):
        return Refusal(400, "host is missing")
    if host is not None and not HOST.match(host):
        return Refusal(400, "host is malformed")
    text = (host or b"").decode()
    if absolute := _ABSOLUTE.match(target):
        if _authority(absolute[2], absolute[1]) != _authority(text, absolute[1]):
            return Refusal(400, "the absolute target disagrees with host")
        rest = absolute[3] or "/"
        target = rest if rest.startswith("/") else f"/{rest}"
    if not _TARGET.match(target):
        return Refusal(400, "the target is not a path that means one thing only")
    if BROKEN_PERCENT.search(target):
        return Refusal(400, "the target has a broken percent-encoding")
    path, _, query = target.partition("?")
    return Head(method, target, path, query, text, hostname(text), headers)


def _authority(text: str, scheme: str) -> str:
    default = ":443" if scheme.lower() in ("https", "wss") else ":80"
    return text.lower().removesuffix(default).removesuffix(":")


def hostname(host: str) -> str:
    """`host` without its port, lower case, without a trailing dot."""
    if host.startswith("["):
        return host.lower().partition("]")[0] + "]"
    return host.lower().partition(":")[0].removesuffix(".")


def tokens(headers: RawHeaders, name: bytes) -> list[bytes]:
    """All comma-separated elements of the field `name` (lower case), in order, lower-cased."""
    return [
        part.strip().lower()
        for field, value in headers
        if field.lower() == name
        for part in value.split(b",")
        if part.strip()
    ]


def values(headers: RawHeaders, name: bytes) -> list[bytes]:
    """All values of the field `name` (lower case)."""
    return [value for field, value in headers if field.lower() == name]
