"""Bodies that break RFC 9112 section 7 after a head that was right."""

from __future__ import annotations

import re
from typing import Final

import pytest

from tests.feature.strictness.rig import MARK, SMUGGLED, Client, request
from tests.support.backend import Backend
from tests.support.sidecar import Sidecar
from tests.support.waiting import until

CHUNKED: Final = b"Transfer-Encoding: chunked"

BROKEN: Final = {
    "a size that is no number": b"g\r\nhello\r\n0\r\n\r\n",
    "a negative size": b"-5\r\nhello\r\n0\r\n\r\n",
    "a signed size": b"+5\r\nhello\r\n0\r\n\r\n",
    "a size with its base": b"0x5\r\nhello\r\n0\r\n\r\n",
    "an underscore in a size": b"0_5\r\nhello\r\n0\r\n\r\n",
    "a space before a size": b" 5\r\nhello\r\n0\r\n\r\n",
    "a space after a size": b"5 \r\nhello\r\n0\r\n\r\n",
    "a tab after a size": b"5\t\r\nhello\r\n0\r\n\r\n",
    "no size": b"\r\nhello\r\n0\r\n\r\n",
    "a size of 2^64": b"10000000000000000\r\nhello\r\n0\r\n\r\n",
    "a size of 2^64 and 5": b"10000000000000005\r\nhello\r\n0\r\n\r\n",
    "a size of 17 digits": b"f" * 17 + b"\r\nhello\r\n0\r\n\r\n",
    "a bare LF after a size": b"5\nhello\r\n0\r\n\r\n",
    "a bare CR after a size": b"5\rhello\r\n0\r\n\r\n",
    "CR CR LF after a size": b"5\r\r\nhello\r\n0\r\n\r\n",
    "a bare LF in an extension": b"5;a\nhello\r\n0\r\n\r\n",
    "a bare CR in an extension": b"5;a\rb\r\nhello\r\n0\r\n\r\n",
    "NUL in an extension": b"5;a\x00\r\nhello\r\n0\r\n\r\n",
    "a chunk that is longer than its size": b"4\r\nhello\r\n0\r\n\r\n",
    "a chunk that is shorter than its size": b"6\r\nhello\r\n0\r\n\r\n",
    "a bare LF after a chunk": b"5\r\nhello\n0\r\n\r\n",
    "a bare CR after a chunk": b"5\r\nhello\r0\r\n\r\n",
    "nothing after a chunk": b"5\r\nhello0\r\n\r\n",
    "other bytes after a chunk": b"5\r\nhelloXX0\r\n\r\n",
    "a trailer with a space before its colon": b"5\r\nhello\r\n0\r\nX : y\r\n\r\n",
    "a trailer with a bare LF": b"5\r\nhello\r\n0\r\nX: y\n\r\n\r\n",
    "a trailer with NUL": b"5\r\nhello\r\n0\r\nX: \x00\r\n\r\n",
    "a trailer without a colon": b"5\r\nhello\r\n0\r\nX\r\n\r\n",
    "a fold in a trailer": b"5\r\nhello\r\n0\r\nX: y\r\n z\r\n\r\n",
    "other bytes after the last chunk": b"5\r\nhello\r\n0\r\nXX",
    "a trailer of 20 KB": b"5\r\nhello\r\n0\r\nX: " + b"a" * 20_000 + b"\r\n\r\n",
    "trailers without an end": b"5\r\nhello\r\n0\r\n" + b"X: y\r\n" * 60_000,
}


LARGE: Final = {"a trailer of 20 KB", "trailers without an end"}


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("apart", [False, True], ids=["with its head", "after its head"])
def test_a_broken_body_never_ends_for_the_backend(
    name: str, apart: bool, sidecar: Sidecar, backend: Backend
) -> None:
    head = request(CHUNKED, method=b"POST")
    with Client(sidecar.port) as client:
        client.send(head if apart else head + BROKEN[name] + SMUGGLED)
        if apart:
            until(lambda: backend.received.endswith(b"\r\n\r\n"))
            client.send(BROKEN[name] + SMUGGLED)
        reply = client.last_reply()
    assert reply.status in ((400, 431) if name in LARGE else (400,))
    assert reply.rest == b""
    assert reply.field(b"Connection") == [b"close"]
    backend.settle()
    assert not backend.received.endswith(b"0\r\n\r\n")
    assert MARK not in backend.received


SHORT: Final = {
    "a length": (b"Content-Length: 9", b"hello"),
    "half a chunk": (CHUNKED, b"9\r\nhello"),
    "a chunk without its end": (CHUNKED, b"5\r\nhello"),
    "no last chunk": (CHUNKED, b"5\r\nhello\r\n"),
    "half a last chunk": (CHUNKED, b"5\r\nhello\r\n0\r\n"),
    "nothing": (CHUNKED, b""),
    "half a size": (CHUNKED, b"1"),
}


@pytest.mark.parametrize("name", SHORT)
@pytest.mark.parametrize("cut", [False, True], ids=["end", "reset"])
def test_a_body_that_breaks_off_never_ends_for_the_backend(
    name: str, cut: bool, sidecar: Sidecar, backend: Backend
) -> None:
    field, body = SHORT[name]
    with Client(sidecar.port) as client:
        client.send(request(field, method=b"POST", body=body))
        if not cut:
            client.finish()
            client.rest()
    backend.settle()
    assert not backend.received.endswith(b"0\r\n\r\n")
    assert b"hellohello" not in backend.received


RIGHT: Final = {
    "a length": (b"Content-Length: 5", b"hello"),
    "no length": (b"Content-Length: 0", b""),
    "leading zeros": (b"Content-Length: 0005", b"hello"),
    "one chunk": (CHUNKED, b"5\r\nhello\r\n0\r\n\r\n"),
    "many chunks": (CHUNKED, b"1\r\nh\r\n1\r\ne\r\n3\r\nllo\r\n0\r\n\r\n"),
    "a size with zeros": (CHUNKED, b"000005\r\nhello\r\n000\r\n\r\n"),
    "capitals in a size": (CHUNKED, b"0A\r\nhellohello\r\n0\r\n\r\n"),
    "extensions": (CHUNKED, b'5;a=b;c="d"\r\nhello\r\n0;e\r\n\r\n'),
    "trailers, which end here": (CHUNKED, b"5\r\nhello\r\n0\r\nX-T: secret\r\n\r\n"),
    "chunked in capitals": (b"Transfer-Encoding: Chunked", b"5\r\nhello\r\n0\r\n\r\n"),
}


def body_of(received: bytes) -> bytes:
    """The body in `received`, without chunks, which must be right ones."""
    head, _, body = received.partition(b"\r\n\r\n")
    if b"\r\nTransfer-Encoding: chunked" not in head:
        return body
    whole = b""
    while (size := int(body.partition(b"\r\n")[0], 16)) > 0:
        start = body.index(b"\r\n") + 2
        whole += body[start : start + size]
        body = body[start + size + 2 :]
    assert body == b"0\r\n\r\n"
    return whole


@pytest.mark.parametrize("name", RIGHT)
@pytest.mark.parametrize("piecewise", [False, True], ids=["whole", "a byte at a time"])
def test_a_right_body_passes(
    name: str, piecewise: bool, sidecar: Sidecar, backend: Backend
) -> None:
    field, body = RIGHT[name]
    with Client(sidecar.port) as client:
        client.send(request(field, method=b"POST", body=body), piecewise=piecewise)
        assert client.reply().status == 200
    backend.settle()
    assert body_of(backend.received) in (b"hello", b"hellohello", b"")
    assert b"secret" not in backend.received


def test_after_a_length_the_next_request_follows(sidecar: Sidecar, backend: Backend) -> None:
    with Client(sidecar.port) as client:
        post = request(b"Content-Length: 5", method=b"POST", body=b"hello")
        client.send(post + request(b"Connection: close", target=b"/next"))
        assert [client.reply().status, client.last_reply().status] == [200, 200]
    backend.settle()
    starts = [re.findall(rb"\A\S+ \S+", bytes(c.received)) for c in backend.connections]
    assert starts == [[b"POST /"], [b"GET /next"]]


@pytest.mark.parametrize("together", [True, False], ids=["in one packet", "later"])
@pytest.mark.parametrize("trailer", [b"X-T: secret\r\n", b"Host: secret\r\n", b""])
def test_after_chunks_the_connection_ends_so_that_no_trailer_gets_into_a_head(
    trailer: bytes, together: bool, sidecar: Sidecar, backend: Backend
) -> None:
    """RFC 9110 section 6.5.1: a trailer must not be merged into the head of another message."""
    body = b"5\r\nhello\r\n0\r\n" + trailer + b"\r\n"
    post = request(CHUNKED, method=b"POST", body=body)
    with Client(sidecar.port) as client:
        client.send(post + (SMUGGLED if together else b""))
        reply = client.reply()
        client.send(b"" if together else SMUGGLED)
        assert client.rest() == b""
    assert reply.status == (400 if trailer.startswith(b"Host") and together else 200)
    assert reply.field(b"Connection") == [b"close"]
    backend.settle()
    assert b"secret" not in backend.received
    assert MARK not in backend.received


def test_a_client_that_expects_it_is_told_to_go_on(sidecar: Sidecar, backend: Backend) -> None:
    with Client(sidecar.port) as client:
        client.send(request(b"Expect: 100-continue", b"Content-Length: 5", method=b"POST"))
        assert client.head() == b"HTTP/1.1 100 Continue"
        client.send(b"hello")
        assert client.reply().status == 200
    backend.settle()
    assert backend.received.endswith(b"hello")
    assert b"100-continue" not in backend.received


def test_a_refused_request_is_not_told_to_go_on(sidecar: Sidecar, backend: Backend) -> None:
    with Client(sidecar.port) as client:
        client.send(
            request(b"Expect: 100-continue", b"Content-Length: 5", method=b"POST", target=b"/ws")
        )
        reply = client.last_reply()
    assert (reply.status, reply.rest) == (426, b"")
    assert backend.connections == []
