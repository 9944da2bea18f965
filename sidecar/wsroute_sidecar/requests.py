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
from typing import Final, Protocol

import msgspec

from wsroute_api.problems import BROKEN_PERCENT

RawHeaders = Sequence[tuple[bytes, bytes]]
Indexed = dict[bytes, list[bytes]]


class ByName(Protocol):
    """All values of each field, in order, by its name in lower case."""

    def get(self, name: bytes, default: tuple[()], /) -> Sequence[bytes]:
        """The values of the field `name`, or `default`."""


MAX_FIELDS: Final = 100
MAX_FIELDS_SIZE: Final = 64 * 1024
"""Bytes of all names and values together."""

_TARGET: Final = re.compile(r"/[!-\"$-~]*\Z")
_ABSOLUTE: Final = re.compile(r"(?i)(https?|wss?)://([^/?#@]+)([/?].*)?\Z", re.DOTALL)
HOST: Final = re.compile(
    rb"[A-Za-z0-9._-]+(?::[0-9]{0,5})?\Z"
    rb"|\[[0-9A-Fa-f:.]{2,45}\](?::[0-9]{0,5})?\Z"
)
_NAME: Final = (
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-.^`|~"  # no underscore
)
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
_SINGLE: Final = (b"host", b"content-length", b"transfer-encoding")
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


class Head(Protocol):
    """A request head that means one thing only."""

    @property
    def method(self) -> str:
        """As sent: methods are case-sensitive."""

    @property
    def target(self) -> str:
        """Path and query as they are forwarded."""

    @property
    def path(self) -> str:
        """The target up to its query."""

    @property
    def query(self) -> str:
        """What follows the target's question mark."""

    @property
    def host(self) -> str:
        """Host header as sent; empty where HTTP/1.0 sent none."""

    @property
    def hostname(self) -> str:
        """Host without port, lower case, without trailing dot: what routes are compared with."""

    @property
    def headers(self) -> RawHeaders:
        """Header fields as they came."""

    @property
    def fields(self) -> ByName:
        """The same by name."""

    @property
    def options(self) -> Sequence[bytes]:
        """What Connection says, in lower case."""


class Checked(msgspec.Struct, frozen=True):
    """The head that `check` has found to be one."""

    method: str
    target: str
    path: str
    query: str
    host: str
    hostname: str
    headers: RawHeaders
    fields: Indexed
    options: Sequence[bytes]


def check(
    method: str, target: str, version: tuple[int, int], headers: RawHeaders
) -> Checked | Refusal:
    """The head that can be trusted, or why there is none."""
    if refusal := _unspoken(method, version) or _fields_refusal(headers):
        return refusal
    fields = indexed(headers)
    options = tokens(fields, b"connection")
    if refusal := _contradiction(version, fields, options):
        return refusal
    (host,) = fields.get(b"host", (b"",))
    text = host.decode()
    target = _origin_form(target, text)
    if why := _target_problem(target):
        return Refusal(400, why)
    path, _, query = target.partition("?")
    return Checked(method, target, path, query, text, hostname(text), headers, fields, options)


def _unspoken(method: str, version: tuple[int, int]) -> Refusal | None:
    if method in _NOT_HTTP:
        return Refusal(501, f"{method} is no method of HTTP")
    if method == "CONNECT":
        return Refusal(405, "CONNECT is not for a reverse proxy", (("Allow", "GET, HEAD, POST"),))
    if version not in ((1, 0), (1, 1)):
        return Refusal(505, "only HTTP/1.1 and HTTP/1.0 are spoken here")
    return None


def _fields_refusal(headers: RawHeaders) -> Refusal | None:
    """What is wrong with names or values, all looked at in one go: this runs for each handshake."""
    names = b"".join([name for name, _ in headers])
    values = b" ".join([value for _, value in headers])
    if len(headers) > MAX_FIELDS:
        return Refusal(431, f"there are more than {MAX_FIELDS} headers")
    if len(names) + len(values) > MAX_FIELDS_SIZE:
        return Refusal(431, f"the headers have more than {MAX_FIELDS_SIZE} bytes")
    if names.translate(None, _NAME):
        return Refusal(400, "a header's name has a character that is refused, as underscores are")
    if CONTROL.search(values):
        return Refusal(400, "a header's value has a control character")
    if not values.isascii():
        try:
            values.decode()
        except UnicodeDecodeError:
            return Refusal(400, "a header's value is neither ASCII nor UTF-8")
    return None


def _contradiction(
    version: tuple[int, int], fields: Indexed, options: Sequence[bytes]
) -> Refusal | None:
    """What is wrong with the fields that say where the message goes, and where it ends."""
    if b"" in fields:
        return Refusal(400, "a header has no name")
    for name in _SINGLE:
        if len(fields.get(name, ())) > 1:
            return Refusal(400, f"{name.decode()} is repeated")
    if any(value.lower() != b"100-continue" for value in fields.get(b"expect", ())):
        return Refusal(417, "the only expectation met here is 100-continue")
    why = (
        _nomination_problem(options)
        or _framing_problem(version, fields)
        or _host_problem(version, fields)
    )
    return Refusal(400, why) if why else None


def _host_problem(version: tuple[int, int], fields: Indexed) -> str | None:
    (host,) = fields.get(b"host", (None,))
    if host is None:
        return "host is missing" if version >= (1, 1) else None
    return None if HOST.match(host) else "host is malformed"


def _nomination_problem(options: Sequence[bytes]) -> str | None:
    for name in options:
        if name in _NEVER_NOMINATED or name.startswith((b"x-forwarded-", b"sec-websocket-")):
            return f"Connection must not nominate {name.decode()}"
    return None


def _framing_problem(version: tuple[int, int], fields: Indexed) -> str | None:
    (coding,) = fields.get(b"transfer-encoding", (None,))
    (length,) = fields.get(b"content-length", (None,))
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


def _origin_form(target: str, host: str) -> str:
    """Path and query of `target`; empty where it names another authority than `host`."""
    if target.startswith("/"):
        return target
    absolute = _ABSOLUTE.match(target)
    if absolute is None:
        return target
    if _authority(absolute[2], absolute[1]) != _authority(host, absolute[1]):
        return ""
    rest = absolute[3] or "/"
    return rest if rest.startswith("/") else f"/{rest}"


def _target_problem(target: str) -> str | None:
    if not target:
        return "the absolute target disagrees with host"
    if not _TARGET.match(target):
        return "the target is not a path that means one thing only"
    if "%" in target and BROKEN_PERCENT.search(target):
        return "the target has a broken percent-encoding"
    return None


def _authority(text: str, scheme: str) -> str:
    default = ":443" if scheme.lower() in ("https", "wss") else ":80"
    return text.lower().removesuffix(default).removesuffix(":")


def hostname(host: str) -> str:
    """`host` without its port, lower case, without a trailing dot."""
    if host.startswith("["):
        return host.lower().partition("]")[0] + "]"
    return host.lower().partition(":")[0].removesuffix(".")


def indexed(headers: RawHeaders) -> Indexed:
    """`headers` by name."""
    fields: Indexed = {}
    for name, value in headers:
        fields.setdefault(name.lower(), []).append(value)
    return fields


def tokens(fields: ByName, name: bytes) -> list[bytes]:
    """All comma-separated elements of the field `name` (lower case), in order, lower-cased."""
    values = fields.get(name, ())
    if not values:
        return []
    return [part for piece in b",".join(values).lower().split(b",") if (part := piece.strip())]
