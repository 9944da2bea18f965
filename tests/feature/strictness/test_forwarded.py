"""Requests that pass, and the very bytes that the backend receives of them."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

import pytest

from tests.feature.strictness.rig import MARK, SMUGGLED, Client, request, upgrade
from tests.support.backend import Backend
from tests.support.sidecar import Sidecar


class Case(NamedTuple):
    """A request, lines of it that the backend receives, and words that it must not."""

    sent: bytes
    lines: tuple[bytes, ...] = ()
    never: tuple[bytes, ...] = ()


def _old(*fields: bytes) -> bytes:
    return b"\r\n".join([b"GET / HTTP/1.0", *fields]) + b"\r\n\r\n"


CASES: Final[dict[str, Case]] = {
    "the least": Case(request(), (b"GET / HTTP/1.1", b"Host: a.example")),
    "a blank line before the request": Case(b"\r\n" + request(), (b"GET / HTTP/1.1",)),
    "HTTP/1.0 without Host": Case(_old(), (b"GET / HTTP/1.1",)),
    "HTTP/1.0 with Host": Case(_old(b"Host: a.example"), (b"Host: a.example",)),
    "GET with a body": Case(request(b"Content-Length: 2", body=b"hi"), (b"Content-Length: 2",)),
    "OPTIONS": Case(request(method=b"OPTIONS"), (b"OPTIONS / HTTP/1.1",)),
    "DELETE": Case(request(method=b"DELETE", target=b"/a"), (b"DELETE /a HTTP/1.1",)),
    "a method of WebDAV": Case(request(method=b"PROPFIND"), (b"PROPFIND / HTTP/1.1",)),
    "two spaces before the version, which RFC 9112 lets pass": Case(
        b"GET /  HTTP/1.1\r\nHost: a.example\r\n\r\n", (b"GET / HTTP/1.1",)
    ),
    "RTSP's name of the protocol, which the parser does not tell": Case(
        b"GET / RTSP/1.0\r\nHost: a.example\r\n\r\n", (b"GET / HTTP/1.1",)
    ),
    **{
        f"the target {target.decode()}": Case(request(target=target), (b"GET " + target + b" HTT",))
        for target in (
            b"/a/b?c=d&e=f",
            b"/a?",
            b"/??",
            b"/a;v=1/b",
            b"/%C3%A9%20%2B",
            b"/%c3%a9",
            b"/%25%32%65",
            b"/a%2fb",
            b"/a//b///",
            b"/a/./b/../c",
            b"/a/%2e%2e/b",
            b"/a\\b",
            b"/!$&'()*+,=:@-._~",
            b'/a[b]{c}|^`"<>',
            b"/" + b"a" * 8000,
        )
    },
    "an absolute target": Case(
        request(target=b"http://a.example/b?c"), (b"GET /b?c HTTP/1.1", b"Host: a.example")
    ),
    "an absolute target in capitals": Case(
        request(target=b"HTTP://A.EXAMPLE/b"), (b"GET /b HTTP/1.1", b"Host: a.example")
    ),
    "an absolute target with the default port": Case(
        request(target=b"http://a.example:80"), (b"GET / HTTP/1.1",)
    ),
    "an absolute target with a query alone": Case(
        request(target=b"http://a.example?b"), (b"GET /?b HTTP/1.1",)
    ),
    "a Host with a port": Case(
        request().replace(b"a.example", b"a.example:8080"), (b"Host: a.example:8080",)
    ),
    "a Host in capitals": Case(
        request().replace(b"a.example", b"A.Example"), (b"Host: A.Example",)
    ),
    "a Host with a last dot": Case(
        request().replace(b"a.example", b"a.example."), (b"Host: a.example.",)
    ),
    "an IPv6 Host": Case(request().replace(b"a.example", b"[::1]:80"), (b"Host: [::1]:80",)),
    "spelling and order": Case(
        request(b"x-B: 1", b"X-a:2", b"x-b:\t3 \t"), (b"x-B: 1", b"X-a: 2", b"x-B: 3")
    ),
    "an empty value": Case(request(b"X-A:"), (b"X-A: ",)),
    "UTF-8 in a value": Case(request(b"X-A: caf\xc3\xa9"), (b"X-A: caf\xc3\xa9",)),
    "a tab in a value": Case(request(b"X-A: a\tb"), (b"X-A: a\tb",)),
    "many commas": Case(request(b"X-A: ,,,"), (b"X-A: ,,,",)),
    "names of every token character": Case(
        request(b"!#$%&'*+-.^`|~9: b"), (b"!#$%&'*+-.^`|~9: b",)
    ),
    "100 fields with Host": Case(request(*[b"X-%d: a" % n for n in range(99)]), (b"X-98: a",)),
    "a cookie of 15 KB": Case(request(b"Cookie: " + b"a" * 15_000), (b"Cookie: " + b"a" * 15_000,)),
    "credentials": Case(request(b"Authorization: Bearer x"), (b"Authorization: Bearer x",)),
    "trace context": Case(request(b"traceparent: 00-1-2-01"), (b"traceparent: 00-1-2-01",)),
    "what Connection nominates": Case(
        request(b"Connection: close, X-A", b"X-A: secret", b"X-B: 1"), (b"X-B: 1",), (b"secret",)
    ),
    "hop-by-hop fields": Case(
        request(
            b"Keep-Alive: secret",
            b"Proxy-Connection: secret",
            b"TE: secret",
            b"Trailer: secret",
            b"Proxy-Authorization: secret",
            b"Proxy: secret",
        ),
        (),
        (b"secret",),
    ),
    "forged forwarding fields": Case(
        request(
            b"X-Forwarded-For: 6.6.6.6",
            b"X-Forwarded-Proto: 6.6.6.6",
            b"x-forwarded-host: 6.6.6.6",
            b"X-Forwarded-Prefix: 6.6.6.6",
            b"X-Forwarded-Client-Cert: 6.6.6.6",
            b"Forwarded: for=6.6.6.6",
            b"X-Real-IP: 6.6.6.6",
            b"X-Request-Id: 6.6.6.6",
        ),
        (
            b"X-Forwarded-For: 127.0.0.1",
            b"X-Forwarded-Proto: http",
            b"X-Forwarded-Host: a.example",
            b'Forwarded: for=127.0.0.1;host="a.example";proto=http',
            b"X-Real-IP: 127.0.0.1",
        ),
        (b"6.6.6.6",),
    ),
    "Upgrade: h2c": Case(
        request(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMA"),
        (b"GET / HTTP/1.1",),
        (b"Upgrade", b"h2c", b"HTTP2", b"Connection"),
    ),
    "Upgrade: foo": Case(
        request(b"Connection: Upgrade", b"Upgrade: foo"), (), (b"Upgrade", b"Connection")
    ),
    "Upgrade to a list": Case(
        request(b"Connection: Upgrade", b"Upgrade: websocket, h2c"), (), (b"Upgrade", b"h2c")
    ),
    "Upgrade twice": Case(upgrade(b"Upgrade: h2c"), (), (b"Upgrade:", b"h2c")),
    "Upgrade with a version": Case(
        request(b"Connection: Upgrade", b"Upgrade: websocket/13"), (), (b"Upgrade",)
    ),
    "Upgrade to TLS": Case(
        request(b"Connection: Upgrade", b"Upgrade: TLS/1.0"), (), (b"Upgrade", b"TLS")
    ),
    "Upgrade without Connection": Case(upgrade(without=b"Connection"), (), (b"Upgrade:",)),
    "Connection without Upgrade": Case(upgrade(without=b"Upgrade"), (), (b"Connection:",)),
    "Upgrade in HTTP/1.0": Case(
        upgrade().replace(b"HTTP/1.1", b"HTTP/1.0"), (b"GET / HTTP/1.1",), (b"Upgrade:",)
    ),
    "another host's route": Case(
        request(target=b"/admin").replace(b"a.example", b"named.example"), (b"GET /admin HTTP/1.1",)
    ),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("piecewise", [False, True], ids=["whole", "a byte at a time"])
def test_it_passes(name: str, piecewise: bool, sidecar: Sidecar, backend: Backend) -> None:
    case = CASES[name]
    with Client(sidecar.port) as client:
        client.send(case.sent, piecewise=piecewise and len(case.sent) < 3000)
        reply = client.reply()
    assert (reply.status, reply.body) == (200, b"ok")
    backend.settle()
    received = backend.received
    assert all(b"\r\n" + line in b"\r\n" + received for line in case.lines)
    assert not [word for word in case.never if word in received]
    assert received.count(b"\r\nHost: ") == 1
    assert len(re.findall(rb" HTTP/1.1\r\n", received)) == 1


UPGRADES: Final = {
    "h2c": request(b"Connection: Upgrade", b"Upgrade: h2c"),
    "foo": request(b"Connection: Upgrade", b"Upgrade: foo"),
    "a list": request(b"Connection: Upgrade", b"Upgrade: h2c, websocket"),
    "HTTP/1.0": upgrade(b"Connection: keep-alive").replace(b"HTTP/1.1", b"HTTP/1.0"),
    "h2c with a body": request(
        b"Connection: Upgrade", b"Upgrade: h2c", b"Content-Length: 2", method=b"POST", body=b"hi"
    ),
}


@pytest.mark.parametrize("name", UPGRADES)
def test_what_follows_an_upgrade_that_was_not_made_is_not_read(
    name: str, sidecar: Sidecar, backend: Backend
) -> None:
    """RFC 9931: it may be of the protocol that the client asked for."""
    with Client(sidecar.port) as client:
        client.send(UPGRADES[name] + SMUGGLED)
        reply = client.last_reply()
    assert (reply.status, reply.rest) == (200, b"")
    assert reply.field(b"Connection") == [b"close"]
    backend.settle()
    assert MARK not in backend.received


def test_requests_in_one_packet_are_answered_in_their_order(
    sidecar: Sidecar, backend: Backend
) -> None:
    targets = [b"/%d" % number for number in range(30)]
    last = request(b"Connection: close", target=b"/last")
    with Client(sidecar.port) as client:
        client.send(b"".join(request(target=target) for target in targets) + last)
        replies = [client.reply() for _ in targets]
        assert client.last_reply().status == 200
        assert client.rest() == b""
    assert [reply.status for reply in replies] == [200] * len(targets)
    backend.settle()
    assert re.findall(rb"GET (\S+)", backend.received) == [*targets, b"/last"]


@pytest.mark.parametrize(
    ("version", "field", "lives"),
    [
        pytest.param(b"1.1", b"X: y", True, id="HTTP/1.1"),
        pytest.param(b"1.1", b"Connection: close", False, id="HTTP/1.1 and close"),
        pytest.param(b"1.1", b"Connection: CLOSE, x", False, id="HTTP/1.1 and close in a list"),
        pytest.param(b"1.0", b"X: y", False, id="HTTP/1.0"),
        pytest.param(b"1.0", b"Connection: keep-alive", True, id="HTTP/1.0 and keep-alive"),
    ],
)
def test_a_connection_lives_on_where_the_client_wants_it(
    version: bytes, field: bytes, lives: bool, sidecar: Sidecar, backend: Backend
) -> None:
    head = request(field).replace(b"HTTP/1.1", b"HTTP/" + version)
    with Client(sidecar.port) as client:
        client.send(head)
        first = client.reply()
        client.send(head)
        second = client.reply()
    assert (first.status, second.status) == (200, 200 if lives else 0)
    assert (first.field(b"Connection") == [b"close"]) is not lives
    assert len(backend.connections) == (2 if lives else 1)


def test_a_redirect_is_answered_here_and_the_connection_lives(
    sidecar: Sidecar, backend: Backend
) -> None:
    with Client(sidecar.port) as client:
        for _ in range(2):
            client.send(request(target=b"/moved/x?y"))
            reply = client.reply()
            assert reply.status == 302
            assert reply.field(b"Location") == [b"http://b.example/moved/x?y"]
    assert backend.connections == []


def test_a_loop_is_seen(sidecar: Sidecar, backend: Backend) -> None:
    with Client(sidecar.port) as client:
        client.send(request())
        client.reply()
        backend.settle()
        via = re.search(rb"\r\nVia: ([^\r]*)", backend.received)
        assert via is not None
        backend.reset()
        client.send(request(b"Via: 1.0 x, " + via[1]))
        assert client.last_reply().status == 508
    assert backend.connections == []
