from __future__ import annotations

import ipaddress
from collections.abc import Sequence

import pytest

from wsroute_api.types import Header, HeaderModifier
from wsroute_sidecar.headers import (
    Client,
    Modifier,
    client,
    is_loop,
    serialize,
    switching,
    to_backend,
    to_client,
)
from wsroute_sidecar.requests import Checked, Head, check

Field = tuple[bytes, bytes]

NONE = Modifier()
PROXIES = (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8"))


def head(*fields: Field) -> Head:
    found = check("GET", "/", (1, 1), [(b"Host", b"a.example:80"), *fields])
    assert isinstance(found, Checked)
    return found


def sent_by(peer: str, *fields: Field, scheme: str = "http") -> Client:
    return client(peer, scheme, head(*fields), PROXIES)


def forwarded(
    *fields: Field, peer: str = "192.0.2.1", modifier: Modifier = NONE, upgrade: bool = False
) -> list[Field]:
    received = head(*fields)
    return to_backend(
        received,
        client(peer, "http", received, PROXIES),
        host="b.example",
        identity=b"wsroute-1",
        request_id=b"id-1",
        modifier=modifier,
        upgrade=upgrade,
    )


def values(fields: Sequence[Field], name: bytes) -> list[bytes]:
    return [value for field, value in fields if field.lower() == name.lower()]


@pytest.mark.parametrize(
    ("peer", "chain", "address", "forwarded_for"),
    [
        pytest.param("192.0.2.1", [], "192.0.2.1", "192.0.2.1", id="a peer alone"),
        pytest.param(
            "192.0.2.1", [b"203.0.113.9"], "192.0.2.1", "192.0.2.1", id="an untrusted peer's claim"
        ),
        pytest.param("10.0.0.1", [], "10.0.0.1", "10.0.0.1", id="a trusted peer that says nothing"),
        pytest.param(
            "10.0.0.1",
            [b"203.0.113.9"],
            "203.0.113.9",
            "203.0.113.9, 10.0.0.1",
            id="a trusted peer's claim",
        ),
        pytest.param(
            "10.0.0.1",
            [b"6.6.6.6, 203.0.113.9, 10.0.0.2"],
            "203.0.113.9",
            "6.6.6.6, 203.0.113.9, 10.0.0.2, 10.0.0.1",
            id="what the client claimed before the first trusted proxy is not believed",
        ),
        pytest.param(
            "10.0.0.1",
            [b"6.6.6.6", b"203.0.113.9"],
            "203.0.113.9",
            "6.6.6.6, 203.0.113.9, 10.0.0.1",
            id="two fields are one list",
        ),
        pytest.param(
            "10.0.0.1",
            [b"10.0.0.3, 10.0.0.2"],
            "10.0.0.3",
            "10.0.0.3, 10.0.0.2, 10.0.0.1",
            id="proxies only: the farthest",
        ),
        pytest.param(
            "10.0.0.1",
            [b"unknown"],
            "10.0.0.1",
            "unknown, 10.0.0.1",
            id="a claim that is no address",
        ),
        pytest.param(
            "10.0.0.1",
            [b'evil"; drop'],
            "10.0.0.1",
            'evil"; drop, 10.0.0.1',
            id="a claim that is an attack",
        ),
        pytest.param("fd00::1", [b"2001:db8::7"], "2001:db8::7", "2001:db8::7, fd00::1", id="IPv6"),
        pytest.param("", [], "", "", id="a peer without an address"),
    ],
)
def test_who_the_client_is(peer: str, chain: list[bytes], address: str, forwarded_for: str) -> None:
    sender = sent_by(peer, *((b"X-Forwarded-For", value) for value in chain))
    assert sender.address == address
    assert ", ".join(sender.forwarded_for) == forwarded_for


def test_an_ipv4_peer_on_an_ipv6_socket_is_the_ipv4_peer() -> None:
    """RFC 4291 section 2.5.5.2: what a dual-stack listener reports."""
    sender = sent_by("::ffff:10.0.0.1", (b"X-Forwarded-For", b"203.0.113.9"))
    assert (sender.address, sender.trusted) == ("203.0.113.9", True)
    assert sent_by("::ffff:192.0.2.1").address == "192.0.2.1"


@pytest.mark.parametrize(
    ("peer", "scheme", "host"),
    [("192.0.2.1", "http", "a.example:80"), ("10.0.0.1", "https", "outer.example")],
)
def test_scheme_and_host_are_a_trusted_proxys_to_tell(peer: str, scheme: str, host: str) -> None:
    sender = sent_by(
        peer, (b"X-Forwarded-Proto", b"https"), (b"X-Forwarded-Host", b"outer.example")
    )
    assert (sender.scheme, sender.host) == (scheme, host)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"X-Forwarded-Proto", b"javascript"),
        (b"X-Forwarded-Proto", b"http, https"),
        (b"X-Forwarded-Proto", b'https";for=evil'),
        (b"X-Forwarded-Host", b'a";for=evil'),
        (b"X-Forwarded-Host", b"a b"),
        (b"X-Forwarded-Host", b"outer.example, a.example"),
    ],
)
def test_what_a_trusted_proxy_passes_on_unchecked_is_not_believed(
    name: bytes, value: bytes
) -> None:
    sender = sent_by("10.0.0.1", (name, value))
    assert (sender.scheme, sender.host) == ("http", "a.example:80")


@pytest.mark.parametrize(
    "field",
    [
        (b"Connection", b"close"),
        (b"Keep-Alive", b"timeout=5"),
        (b"Proxy-Connection", b"keep-alive"),
        (b"TE", b"trailers"),
        (b"Trailer", b"X-T"),
        (b"Upgrade", b"h2c"),
        (b"HTTP2-Settings", b"AAMAAABkAARAAAAAAAIAAAAA"),
        (b"Expect", b"100-continue"),
        (b"X-Forwarded-Server", b"evil"),
        (b"X-Forwarded-Prefix", b"/evil"),
        (b"X-Real-IP", b"6.6.6.6"),
        (b"Forwarded", b"for=6.6.6.6"),
        (b"X-Request-Id", b"forged"),
        (b"Proxy-Authorization", b"Basic eDp5"),
        (b"Proxy", b"http://evil.example/"),
    ],
)
def test_what_is_hop_by_hop_or_a_claim_ends_here(field: Field) -> None:
    assert field not in forwarded(field)


def test_what_connection_nominates_ends_here() -> None:
    fields = forwarded((b"Connection", b"close, X-One"), (b"X-One", b"1"), (b"X-Two", b"2"))
    assert values(fields, b"X-One") == []
    assert values(fields, b"X-Two") == [b"2"]


def test_other_fields_pass_in_their_order_and_spelling() -> None:
    own = [(b"coOKie", b"a=b"), (b"X-A", b"caf\xc3\xa9"), (b"x-a", b""), (b"Authorization", b"x")]
    assert forwarded(*own)[:5] == [(b"Host", b"b.example"), *own]


def test_the_backend_learns_who_asked() -> None:
    fields = forwarded((b"X-Forwarded-For", b"6.6.6.6"), (b"Via", b"1.0 a"))
    assert values(fields, b"X-Forwarded-For") == [b"192.0.2.1"]
    assert values(fields, b"X-Forwarded-Proto") == [b"http"]
    assert values(fields, b"X-Forwarded-Host") == [b"a.example:80"]
    assert values(fields, b"X-Real-IP") == [b"192.0.2.1"]
    assert values(fields, b"Forwarded") == [b'for=192.0.2.1;host="a.example:80";proto=http']
    assert values(fields, b"Via") == [b"1.0 a, 1.1 wsroute-1"]
    assert values(fields, b"X-Request-Id") == [b"id-1"]


def test_an_ipv6_address_is_quoted_in_forwarded() -> None:
    """RFC 7239 section 6."""
    fields = forwarded(peer="2001:db8::7")
    assert values(fields, b"Forwarded")[0].startswith(b'for="[2001:db8::7]";')


def test_a_trusted_proxys_request_id_is_kept() -> None:
    fields = forwarded((b"X-Request-Id", b"outer"), peer="10.0.0.1")
    assert values(fields, b"X-Request-Id") == [b"outer"]


def test_a_trusted_proxys_forwarded_is_written_anew_from_what_is_believed() -> None:
    fields = forwarded(
        (b"X-Forwarded-For", b"203.0.113.9"), (b"Forwarded", b"for=evil"), peer="10.0.0.1"
    )
    assert values(fields, b"Forwarded") == [b'for=203.0.113.9;host="a.example:80";proto=http']


def test_trace_context_passes_unchanged() -> None:
    trace = [(b"traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")]
    trace += [(b"tracestate", b"a=b")]
    assert forwarded(*trace)[1:3] == trace


def test_an_upgrade_is_asked_for_in_the_sidecars_own_words() -> None:
    own = ((b"Upgrade", b"WebSocket"), (b"Connection", b"keep-alive, upgrade"))
    fields = forwarded(*own, upgrade=True)
    assert values(fields, b"Upgrade") == [b"websocket"]
    assert values(fields, b"Connection") == [b"Upgrade"]


def modifier(**change: Sequence[Header] | Sequence[str]) -> Modifier:
    lists = {name: list(items) for name, items in change.items()}
    return Modifier.of(HeaderModifier(**lists))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param(NONE, [b"1", b"2"], id="no change"),
        pytest.param(Modifier.of(None), [b"1", b"2"], id="none at all"),
        pytest.param(modifier(set=[Header(name="x-a", value="3")]), [b"3"], id="set replaces all"),
        pytest.param(modifier(add=[Header(name="X-A", value="3")]), [b"1", b"2", b"3"], id="add"),
        pytest.param(modifier(remove=["X-a"]), [], id="remove"),
        pytest.param(
            modifier(set=[Header(name="X-A", value="3")], add=[Header(name="X-A", value="4")]),
            [b"3", b"4"],
            id="set and add",
        ),
    ],
)
def test_modifiers_change_both_directions(change: Modifier, expected: list[bytes]) -> None:
    own = [(b"X-A", b"1"), (b"x-a", b"2")]
    assert values(forwarded(*own, modifier=change), b"X-A") == expected
    assert values(to_client(own, change), b"X-A") == expected


def test_a_modifier_can_take_the_forwarding_fields_off() -> None:
    """Gateway API: a filter is the last word on a header that is not the proxy's own."""
    fields = forwarded(modifier=modifier(remove=["X-Real-IP"]))
    assert values(fields, b"X-Real-IP") == []


@pytest.mark.parametrize(
    "name",
    [
        b"Connection",
        b"Keep-Alive",
        b"Proxy-Connection",
        b"TE",
        b"Trailer",
        b"Transfer-Encoding",
        b"Upgrade",
        b"X-Nominated",
    ],
)
def test_hop_by_hop_fields_of_a_response_end_here(name: bytes) -> None:
    fields = [(b"connection", b"x-nominated"), (name, b"1"), (b"Set-Cookie", b"a"), (b"A", b"b")]
    assert to_client(fields, NONE) == [(b"Set-Cookie", b"a"), (b"A", b"b")]


def test_the_101_is_in_the_sidecars_own_words_and_has_no_body() -> None:
    answer = [
        (b"upgrade", b"WebSocket"),
        (b"Connection", b"upgrade, X-Hop"),
        (b"X-Hop", b"1"),
        (b"Content-Length", b"5"),
        (b"Transfer-Encoding", b"chunked"),
        (b"Sec-WebSocket-Accept", b"x"),
    ]
    assert switching(answer, NONE) == (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: x\r\n\r\n"
    )


@pytest.mark.parametrize(
    ("via", "loop"),
    [
        ([], False),
        ([b"1.1 wsroute-1"], True),
        ([b"1.0 a, 1.1 wsroute-1, 1.1 b"], True),
        ([b"1.0 a", b"1.1 wsroute-1 (comment)"], True),
        ([b"1.1 wsroute-12"], False),
        ([b"wsroute-1"], False),
        ([b","], False),
    ],
)
def test_a_loop_is_seen_by_the_own_name_in_via(via: list[bytes], loop: bool) -> None:
    assert is_loop(head(*((b"Via", value) for value in via)), b"wsroute-1") is loop


def test_a_head_is_lines_and_a_blank_one() -> None:
    assert serialize(b"GET / HTTP/1.1", [(b"A", b"b"), (b"C", b"")]) == (
        b"GET / HTTP/1.1\r\nA: b\r\nC: \r\n\r\n"
    )
