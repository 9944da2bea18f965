"""What a backend answers to plain HTTP: relayed cleanly, or a 502, and never a byte more."""

from __future__ import annotations

from typing import Final

import pytest

from tests.feature.strictness.rig import ACCEPT, Client, request
from tests.support.backend import Backend, Connection, Script
from tests.support.sidecar import Sidecar

_END: Final = b"\r\n\r\n"


def raw(data: bytes) -> Script:
    """Answer the head with `data`, and end."""

    def script(connection: Connection) -> None:
        connection.until(_END)
        connection.send(data)
        connection.finish()
        connection.drain()

    return script


def answer(*fields: bytes, start: bytes = b"HTTP/1.1 200 OK", body: bytes = b"") -> bytes:
    return b"\r\n".join([start, *fields]) + _END + body


HI: Final = b"Content-Length: 2"
CHUNKED: Final = b"Transfer-Encoding: chunked"

BAD: Final = {
    "101": answer(start=b"HTTP/1.1 101 Switching Protocols"),
    "a 101 with all its signs": answer(
        b"Upgrade: websocket",
        b"Connection: Upgrade",
        b"Sec-WebSocket-Accept: " + ACCEPT,
        start=b"HTTP/1.1 101 Switching Protocols",
        body=b"\x81\x02hi",
    ),
    "HTTP/2.0": answer(HI, start=b"HTTP/2.0 200 OK", body=b"hi"),
    "HTTP/1.9": answer(HI, start=b"HTTP/1.9 200 OK", body=b"hi"),
    "status 000": answer(HI, start=b"HTTP/1.1 000 OK", body=b"hi"),
    "status 99": answer(HI, start=b"HTTP/1.1 99 OK", body=b"hi"),
    "status 1000": answer(HI, start=b"HTTP/1.1 1000 OK", body=b"hi"),
    "status 999": answer(HI, start=b"HTTP/1.1 999 OK", body=b"hi"),
    "two equal lengths": answer(HI, HI, body=b"hi"),
    "two lengths": answer(HI, b"Content-Length: 3", body=b"hi"),
    "a list of lengths": answer(b"Content-Length: 2, 2", body=b"hi"),
    "a negative length": answer(b"Content-Length: -2", body=b"hi"),
    "a signed length": answer(b"Content-Length: +2", body=b"hi"),
    "an empty length": answer(b"Content-Length:", body=b"hi"),
    "a length and chunks": answer(HI, CHUNKED, body=b"2\r\nhi\r\n0\r\n\r\n"),
    "chunks and a length": answer(CHUNKED, HI, body=b"2\r\nhi\r\n0\r\n\r\n"),
    "a bare CR in a value": answer(HI, b"X-A: b\rSet-Cookie: evil", body=b"hi"),
    "NUL in a value": answer(HI, b"X-A: b\x00c", body=b"hi"),
    "an escape in a value": answer(HI, b"X-A: \x1b[31m", body=b"hi"),
    "a vertical tab in a value": answer(HI, b"X-A: b\x0bc", body=b"hi"),
    "a space before the colon": answer(HI, b"X-A : b", body=b"hi"),
    "a name with a space": answer(HI, b"X A: b", body=b"hi"),
    "no colon": answer(HI, b"X-A", body=b"hi"),
    "no name": answer(HI, b": b", body=b"hi"),
    "a name that is not ASCII": answer(HI, b"caf\xc3\xa9: b", body=b"hi"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_response_that_two_readers_could_take_differently_is_a_502(
    name: str, sidecar: Sidecar, backend: Backend
) -> None:
    backend.reset(raw(BAD[name]))
    with Client(sidecar.port) as client:
        client.send(request(b"Connection: close"))
        reply = client.last_reply()
    assert (reply.status, reply.rest) == (502, b"")
    assert b"evil" not in reply.head


BROKEN_CHUNKS: Final = {
    "a size that is no number": b"g\r\nhi\r\n0\r\n\r\n",
    "a negative size": b"-2\r\nhi\r\n0\r\n\r\n",
    "a size of 2^64": b"10000000000000002\r\nhi\r\n0\r\n\r\n",
    "a chunk that is longer than its size": b"1\r\nhi\r\n0\r\n\r\n",
    "a chunk that is shorter than its size": b"5\r\nhi\r\n0\r\n\r\n",
    "nothing after a chunk": b"2\r\nhi0\r\n\r\n",
    "no last chunk": b"2\r\nhi\r\n",
    "half a last chunk": b"2\r\nhi\r\n0\r\n",
}


@pytest.mark.parametrize("name", BROKEN_CHUNKS)
def test_a_broken_body_never_ends_for_the_client(
    name: str, sidecar: Sidecar, backend: Backend
) -> None:
    backend.reset(raw(answer(CHUNKED, body=BROKEN_CHUNKS[name])))
    with Client(sidecar.port) as client:
        client.send(request(b"Connection: close"))
        everything = client.rest()
    refused = everything.startswith(b"HTTP/1.1 502 ")
    assert refused or not everything.endswith(b"0\r\n\r\n")


CLEAN: Final = {
    "hop-by-hop fields": (
        answer(
            HI,
            b"Connection: X-Hop, keep-alive",
            b"X-Hop: secret",
            b"Keep-Alive: secret",
            b"Proxy-Connection: secret",
            b"Upgrade: secret",
            b"Trailer: secret",
            b"TE: secret",
            b"X-A: b",
            body=b"hi",
        ),
        b"X-A: b",
    ),
    "two cookies": (
        answer(HI, b"Set-Cookie: a", b"set-cookie: b", body=b"hi"),
        b"Set-Cookie: a\r\nset-cookie: b",
    ),
    "Latin-1 in a value": (answer(HI, b"X-A: caf\xe9", body=b"hi"), b"X-A: caf\xe9"),
    "an underscore in a name": (answer(HI, b"X_A: b", body=b"hi"), b"X_A: b"),
    "a fold, which RFC 9112 lets a proxy undo": (
        answer(HI, b"X-A: b\r\n c", body=b"hi"),
        b"X-A: b c",
    ),
    "bytes after its end": (answer(HI, b"X-A: b", body=b"hi" + answer(HI, body=b"no")), b"X-A: b"),
}


@pytest.mark.parametrize("name", CLEAN)
def test_a_right_response_is_relayed_without_what_is_hop_by_hop(
    name: str, sidecar: Sidecar, backend: Backend
) -> None:
    sent, line = CLEAN[name]
    backend.reset(raw(sent))
    with Client(sidecar.port) as client:
        client.send(request(b"Connection: close"))
        reply = client.last_reply()
    assert (reply.status, reply.body, reply.rest) == (200, b"hi", b"")
    assert line in reply.head
    assert b"secret" not in reply.head


def test_a_response_to_head_has_no_body(sidecar: Sidecar, backend: Backend) -> None:
    backend.reset(raw(answer(HI)))
    with Client(sidecar.port) as client:
        client.send(request(b"Connection: close", method=b"HEAD"))
        reply = client.last_reply(method=b"HEAD")
    assert (reply.status, reply.rest) == (200, b"")
    assert reply.field(b"Content-Length") == [b"2"]
