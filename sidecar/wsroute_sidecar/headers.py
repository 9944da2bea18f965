"""Which headers pass, and which the sidecar adds.

Hop-by-hop fields, and those that Connection nominates, end here in both directions (RFC 9110
section 7.6.1). What says where a request came from (Forwarded, RFC 7239; X-Forwarded-*; X-Real-IP)
is written anew: from a peer that is not trusted nothing of it is believed.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Final

import msgspec

from wsroute_api.types import HeaderModifier
from wsroute_sidecar.config import Network
from wsroute_sidecar.requests import HOST, Head, RawHeaders, indexed, tokens

Fields = list[tuple[bytes, bytes]]

_HOP_BY_HOP: Final = frozenset(
    {
        b"connection",
        b"http2-settings",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
_NOT_TO_BACKEND: Final = _HOP_BY_HOP | {
    b"expect",
    b"forwarded",
    b"host",
    b"proxy",  # CGI makes HTTP_PROXY of it
    b"proxy-authorization",
    b"via",
    b"x-real-ip",
}
_SCHEME: Final = re.compile(rb"(?i:https?|wss?)\Z")
_UPGRADE: Final = ((b"Upgrade", b"websocket"), (b"Connection", b"Upgrade"))


class Client(msgspec.Struct, frozen=True):
    """Who sent a request, as far as it can be believed."""

    address: str
    """The client's address; the peer's, unless trusted proxies stand in between."""
    forwarded_for: tuple[str, ...]
    """Value of X-Forwarded-For: what trusted proxies said, then the peer."""
    scheme: str
    host: str
    trusted: bool
    """Whether the peer is a trusted proxy."""


class Modifier(msgspec.Struct, frozen=True):
    """A header modifier, compiled: names in lower case, all in bytes."""

    dropped: frozenset[bytes] = frozenset()
    added: tuple[tuple[bytes, bytes], ...] = ()

    @classmethod
    def of(cls, spec: HeaderModifier | None) -> Modifier:
        """Gateway API's set, add and remove: what is set is first dropped, and both are added."""
        if spec is None:
            return NO_CHANGE
        dropped = {h.name for h in spec.set} | set(spec.remove)
        added = (*spec.set, *spec.add)
        return cls(
            frozenset(name.lower().encode() for name in dropped),
            tuple((h.name.encode(), h.value.encode()) for h in added),
        )


NO_CHANGE: Final = Modifier()
"""The one modifier that changes nothing: what is compiled from nothing is this very object."""


def client(peer: str, scheme: str, head: Head, trusted_proxies: Sequence[Network]) -> Client:
    """Who sent `head`: the last address in X-Forwarded-For that is no trusted proxy's."""
    peer = peer.removeprefix("::ffff:")  # an IPv4 peer of a dual-stack listener
    if not within(peer, trusted_proxies):
        return Client(peer, (peer,), scheme, head.host, trusted=False)
    said = b",".join(head.fields.get(b"x-forwarded-for", ())).decode()
    chain = [*(part.strip() for part in said.split(",") if part.strip()), peer]
    address = next((a for a in reversed(chain) if not within(a, trusted_proxies)), chain[0])
    return Client(
        address if _is_address(address) else peer,
        tuple(chain),
        _said(head, b"x-forwarded-proto", _SCHEME) or scheme,
        _said(head, b"x-forwarded-host", HOST) or head.host,
        trusted=True,
    )


def _said(head: Head, name: bytes, form: re.Pattern[bytes]) -> str:
    """What a trusted proxy says, if it is one thing and well formed."""
    found = head.fields.get(name, ())
    return found[0].decode() if len(found) == 1 and form.match(found[0]) else ""


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def within(text: str, networks: Sequence[Network]) -> bool:
    """Whether the address `text` belongs to one of `networks`."""
    if not networks:
        return False
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return any(address in network for network in networks)


def to_backend(
    head: Head,
    sender: Client,
    *,
    host: str,
    identity: bytes,
    request_id: bytes,
    modifier: Modifier,
    upgrade: bool,
) -> Fields:
    """The header fields that the backend receives, in the client's order and spelling.

    `identity` is this sidecar's name in Via; `request_id` stands in for a missing X-Request-Id.
    """
    fields: Fields = [(b"Host", host.encode())]
    nominated = head.options
    has_request_id = False
    for field in head.headers:
        name = field[0].lower()
        if name in _NOT_TO_BACKEND or name in nominated or name.startswith(b"x-forwarded-"):
            continue
        if name == b"x-request-id":
            if not sender.trusted:
                continue
            has_request_id = True
        fields.append(field)
    if upgrade:
        fields += _UPGRADE
    fields += _forwarding(head, sender, identity)
    if not has_request_id:
        fields.append((b"X-Request-Id", request_id))
    return _modified(fields, modifier)


def _modified(fields: Fields, modifier: Modifier) -> Fields:
    if modifier is NO_CHANGE:
        return fields
    if modifier.dropped:
        fields = [field for field in fields if field[0].lower() not in modifier.dropped]
    return [*fields, *modifier.added]


def _forwarding(head: Head, sender: Client, identity: bytes) -> Iterable[tuple[bytes, bytes]]:
    scheme, host, address = sender.scheme.encode(), sender.host.encode(), sender.address.encode()
    yield b"X-Forwarded-For", ", ".join(sender.forwarded_for).encode()
    yield b"X-Forwarded-Proto", scheme
    if host:
        yield b"X-Forwarded-Host", host
    yield b"X-Real-IP", address
    node = b'"[' + address + b']"' if b":" in address else address
    at = b';host="' + host + b'"' if host else b""
    yield b"Forwarded", b"for=" + node + at + b";proto=" + scheme
    yield b"Via", b", ".join([*head.fields.get(b"via", ()), b"1.1 " + identity])


def is_loop(head: Head, identity: bytes) -> bool:
    """Whether `head` has passed through this very sidecar before (RFC 9110 section 7.6.3)."""
    vias = tokens(head.fields, b"via")
    return bool(vias) and any(via.split()[1:2] == [identity] for via in vias)


def to_client(headers: RawHeaders, modifier: Modifier) -> Fields:
    """The end-to-end fields of a response, in the backend's order and spelling."""
    dropped = _HOP_BY_HOP.union(tokens(indexed(headers), b"connection"))
    return _modified([field for field in headers if field[0].lower() not in dropped], modifier)


def switching(headers: RawHeaders, modifier: Modifier) -> bytes:
    """The head of the 101 that the client receives; it has no length (RFC 9110 section 8.6)."""
    fields = [*_UPGRADE, *to_client(headers, modifier)]
    fields = [field for field in fields if field[0].lower() != b"content-length"]
    return serialize(b"HTTP/1.1 101 Switching Protocols", fields)


def serialize(start_line: bytes, fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    """A message head with its blank line (RFC 9112 section 2.1)."""
    return b"\r\n".join([start_line, *map(b": ".join, fields), b"", b""])


def refusal(
    status: int, why: str, extra: Iterable[tuple[str, str]] = (), *, close: bool, bodiless: bool
) -> tuple[bytes, bytes]:
    """Head and body of an answer of the sidecar's own: a status and one line of text."""
    body = b"" if bodiless else f"wsroute: {status} {why}\n".encode()
    fields = [
        (b"Server", b"wsroute"),
        (b"Content-Type", b"text/plain; charset=utf-8"),
        (b"Content-Length", b"%d" % len(body)),
        *((name.encode(), value.encode()) for name, value in extra),
    ]
    if close and all(name != b"Connection" for name, _ in fields):
        fields.append((b"Connection", b"close"))
    return serialize(status_line(status), fields), body


def status_line(status: int) -> bytes:
    """The first line of a response (RFC 9112 section 4)."""
    return f"HTTP/1.1 {status} {HTTPStatus(status).phrase}".encode()
