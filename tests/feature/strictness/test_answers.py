"""What a backend answers to an upgrade, and what the client gets of it."""

from __future__ import annotations

import time
from typing import Final, NamedTuple

import pytest

from tests.feature.strictness.rig import ACCEPT, Client, upgrade
from tests.support.backend import Backend, Connection, Script
from tests.support.sidecar import Sidecar

_END: Final = b"\r\n\r\n"


def raw(data: bytes, *, stay: bool = True) -> Script:
    """Answer with `data`; then wait for the sidecar to end the connection, or end it first."""

    def script(connection: Connection) -> None:
        connection.until(_END)
        connection.send(data)
        if stay:
            connection.drain()

    return script


def switching(
    *more: bytes,
    upgrade: bytes | None = b"websocket",
    connection: bytes | None = b"Upgrade",
    accept: bytes | None = ACCEPT,
    start: bytes = b"HTTP/1.1 101 Switching Protocols",
    after: bytes = b"",
) -> bytes:
    fields = {b"Upgrade": upgrade, b"Connection": connection, b"Sec-WebSocket-Accept": accept}
    lines = [name + b": " + value for name, value in fields.items() if value is not None]
    return b"\r\n".join([start, *lines, *more]) + _END + after


BAD_ANSWERS: Final = {
    "101 without Upgrade": switching(upgrade=None),
    "101 to h2c": switching(upgrade=b"h2c"),
    "101 to a list": switching(upgrade=b"websocket, h2c"),
    "101 with two Upgrades": switching(b"Upgrade: websocket"),
    "101 without Connection": switching(connection=None),
    "101 with Connection: close": switching(connection=b"close"),
    "101 without an accept": switching(accept=None),
    "101 with an empty accept": switching(accept=b""),
    "101 with a wrong accept": switching(accept=b"x" + ACCEPT[1:]),
    "101 with the accept of another key": switching(accept=b"HSmrc0sMlYUkAGmm5OPpG2HaGWk="),
    "101 with an accept in small letters": switching(accept=ACCEPT.lower()),
    "101 with the accept twice": switching(b"Sec-WebSocket-Accept: " + ACCEPT),
    "a bare 101": b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    "frames without a head": b"\x81\x02hi\r\n\r\n",
    "nothing but blank lines": b"\r\n\r\n",
    "HTTP/0.9": b"<html>hello</html>\r\n\r\n",
    "HTTP/2": b"\x00\x00\x12\x04\x00\x00\x00\x00\x00\r\n\r\n",
    "HTTP/2.0 in letters": switching(start=b"HTTP/2.0 101 OK"),
    "HTTP/1.2": switching(start=b"HTTP/1.2 101 OK"),
    "a status of four digits": switching(start=b"HTTP/1.1 1010 OK"),
    "a status of two digits": switching(start=b"HTTP/1.1 10 OK"),
    "status 000": switching(start=b"HTTP/1.1 000 OK"),
    "status 999": switching(start=b"HTTP/1.1 999 OK"),
    "a negative status": switching(start=b"HTTP/1.1 -101 OK"),
    "two spaces before the status": switching(start=b"HTTP/1.1  101 OK"),
    "a space before the version": switching(start=b" HTTP/1.1 101 OK"),
    "NUL in the reason": switching(start=b"HTTP/1.1 101 \x00"),
    "bare LF in the head": switching(b"X-A: b\nX-B: c"),
    "bare CR in the head": switching(b"X-A: b\rX-B: c"),
    "NUL in a value": switching(b"X-A: \x00"),
    "a space before a colon": switching(b"X-A : b"),
    "a fold": switching(b"X-A: b\r\n c"),
    "a field without a colon": switching(b"X-A"),
    "a field without a name": switching(b": b"),
    "only LF for line ends": switching().replace(b"\r\n", b"\n") + b"\r\n\r\n",
    "100 KB of head": switching(b"X-A: " + b"a" * 100_000),
    "a head without an end": b"HTTP/1.1 101 OK\r\n" + b"X-A: b\r\n" * 20_000,
    "403 with two lengths": b"HTTP/1.1 403 No\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nhi",
    "403 with a length and chunks": (
        b"HTTP/1.1 403 No\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    ),
    "403 with a negative length": b"HTTP/1.1 403 No\r\nContent-Length: -1\r\n\r\nhi",
}


@pytest.mark.parametrize("name", BAD_ANSWERS)
def test_an_answer_that_is_none_is_a_502(name: str, sidecar: Sidecar, backend: Backend) -> None:
    backend.reset(raw(BAD_ANSWERS[name]))
    with Client(sidecar.port) as client:
        client.send(upgrade() + b"\x81\x80\x00\x00\x00\x00")
        reply = client.last_reply()
    assert (reply.status, reply.rest) == (502, b"")
    assert reply.field(b"Connection") == [b"close"]
    backend.settle()
    assert backend.connections[0].ended
    assert b"\x81\x80" not in backend.received


BROKEN: Final = {
    "nothing at all": b"",
    "half a status line": b"HTTP/1.1 10",
    "half a head": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n",
    "an interim response alone": b"HTTP/1.1 100 Continue\r\n\r\n",
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_backend_that_leaves_without_an_answer_is_a_502_at_once(
    name: str, sidecar: Sidecar, backend: Backend
) -> None:
    backend.reset(raw(BROKEN[name], stay=False))
    with Client(sidecar.port) as client:
        begun = time.monotonic()
        client.send(upgrade())
        assert client.last_reply().status == 502
    assert time.monotonic() - begun < 2


@pytest.mark.parametrize("early", [True, False], ids=["before the head", "after the head"])
def test_a_backend_that_resets_is_a_502_at_once(
    early: bool, sidecar: Sidecar, backend: Backend
) -> None:
    def script(connection: Connection) -> None:
        if not early:
            connection.until(_END)
        connection.reset()

    backend.reset(script)
    with Client(sidecar.port) as client:
        begun = time.monotonic()
        client.send(upgrade())
        assert client.last_reply().status == 502
    assert time.monotonic() - begun < 2


class Ordinary(NamedTuple):
    """An ordinary response: what the backend sends, and what the client gets."""

    sent: bytes
    status: int
    body: bytes


ORDINARY: Final = {
    "401 with its challenge": Ordinary(
        b'HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm="a"\r\nContent-Length: 2\r\n\r\nhi',
        401,
        b"hi",
    ),
    "200": Ordinary(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", 200, b"hi"),
    "426": Ordinary(b"HTTP/1.1 426 No\r\nContent-Length: 0\r\n\r\n", 426, b""),
    "503": Ordinary(
        b"HTTP/1.1 503 No\r\nRetry-After: 3\r\nContent-Length: 2\r\n\r\nhi", 503, b"hi"
    ),
    "302": Ordinary(b"HTTP/1.1 302 No\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", 302, b""),
    "204": Ordinary(b"HTTP/1.1 204 No\r\n\r\n", 204, b""),
    "304": Ordinary(b"HTTP/1.1 304 No\r\n\r\n", 304, b""),
    "an unknown status": Ordinary(b"HTTP/1.1 599 \r\nContent-Length: 2\r\n\r\nhi", 599, b"hi"),
    "HTTP/1.0": Ordinary(b"HTTP/1.0 403 No\r\nContent-Length: 2\r\n\r\nhi", 403, b"hi"),
    "403 with all signs of a 101": Ordinary(
        switching(b"Content-Length: 2", start=b"HTTP/1.1 403 No", after=b"hi"), 403, b"hi"
    ),
    "200 with all signs of a 101": Ordinary(
        switching(b"Content-Length: 2", start=b"HTTP/1.1 200 OK", after=b"hi"), 200, b"hi"
    ),
    "after an interim response": Ordinary(
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
        b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nhi",
        403,
        b"hi",
    ),
    "after many interim responses": Ordinary(
        b"HTTP/1.1 100 Continue\r\n\r\n" * 50 + b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nhi",
        403,
        b"hi",
    ),
    "with bytes after its end": Ordinary(
        b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 200 OK\r\n\r\nsmuggled", 403, b"hi"
    ),
}


@pytest.mark.parametrize("name", ORDINARY)
def test_anything_but_101_is_an_ordinary_response_after_which_both_connections_end(
    name: str, sidecar: Sidecar, backend: Backend
) -> None:
    """CVE-2018-1002105, CVE-2024-23326: the client goes on as if it had a tunnel."""
    case = ORDINARY[name]
    backend.reset(raw(case.sent))
    with Client(sidecar.port) as client:
        client.send(upgrade() + b"\x81\x80\x00\x00\x00\x00")
        reply = client.reply()
        client.send(b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.rest() == b""
    assert (reply.status, reply.body) == (case.status, case.body)
    assert reply.field(b"Connection") == [b"close"]
    assert reply.field(b"Upgrade") == []
    backend.settle()
    assert backend.connections[0].ended
    assert len(backend.connections) == 1
    assert b"smuggled" not in backend.received
    assert b"\x81\x80" not in backend.received


FRAMED: Final = {
    "chunks": b"HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    "up to the end": b"HTTP/1.1 403 No\r\n\r\nhi",
}


@pytest.mark.parametrize("name", FRAMED)
def test_a_body_without_a_length_comes_in_chunks(
    name: str, sidecar: Sidecar, backend: Backend
) -> None:
    backend.reset(raw(FRAMED[name], stay=False))
    with Client(sidecar.port) as client:
        client.send(upgrade())
        reply = client.last_reply()
    assert reply.status == 403
    assert reply.field(b"Transfer-Encoding") == [b"chunked"]
    assert reply.rest == b"2\r\nhi\r\n0\r\n\r\n"


CUT: Final = {
    "a body that is too short": (b"Content-Length: 9", b"hi", b"hi"),
    "chunks that break off": (b"Transfer-Encoding: chunked", b"2\r\nhi\r\n", b"2\r\nhi\r\n"),
}


@pytest.mark.parametrize("name", CUT)
def test_a_response_that_breaks_off_does_so_for_the_client_too(
    name: str, sidecar: Sidecar, backend: Backend
) -> None:
    field, sent, received = CUT[name]
    backend.reset(raw(b"HTTP/1.1 403 No\r\n" + field + _END + sent, stay=False))
    with Client(sidecar.port) as client:
        client.send(upgrade())
        assert field in client.head()
        assert received.startswith(client.rest())


PIECES: Final = switching(b"X-A: b", after=b"\x81\x02hi")


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 1000])
def test_a_right_101_opens_the_tunnel_however_it_is_cut(
    size: int, sidecar: Sidecar, backend: Backend
) -> None:
    def script(connection: Connection) -> None:
        connection.until(_END)
        for begin in range(0, len(PIECES), size):
            connection.send(PIECES[begin : begin + size])
        connection.drain()

    backend.reset(script)
    with Client(sidecar.port) as client:
        client.send(upgrade())
        reply = client.reply()
        assert reply.status == 101
        assert reply.field(b"X-A") == [b"b"]
        assert client.exactly(4) == b"\x81\x02hi"


def test_hop_by_hop_fields_of_a_101_end_here(sidecar: Sidecar, backend: Backend) -> None:
    backend.reset(
        raw(
            switching(
                b"Connection: X-Hop, keep-alive",
                b"X-Hop: 1",
                b"Keep-Alive: timeout=5",
                b"Proxy-Connection: keep-alive",
                b"Transfer-Encoding: chunked",
                b"Content-Length: 5",
                b"Trailer: X",
                b"Sec-WebSocket-Protocol: chat",
                b"Set-Cookie: a=b",
            )
        )
    )
    with Client(sidecar.port) as client:
        client.send(upgrade(b"Sec-WebSocket-Protocol: chat"))
        lines = client.head().split(b"\r\n")
    assert sorted(lines) == sorted(
        [
            b"HTTP/1.1 101 Switching Protocols",
            b"Upgrade: websocket",
            b"Connection: Upgrade",
            b"Sec-WebSocket-Accept: " + ACCEPT,
            b"Sec-WebSocket-Protocol: chat",
            b"Set-Cookie: a=b",
        ]
    )


def test_a_backend_that_says_nothing_is_a_504_at_the_deadline(
    sidecar: Sidecar, backend: Backend
) -> None:
    backend.reset(Connection.drain)
    with Client(sidecar.port) as client:
        begun = time.monotonic()
        client.send(upgrade(target=b"/soon"))
        reply = client.last_reply()
    assert (reply.status, reply.rest) == (504, b"")
    assert 0.3 < time.monotonic() - begun < 3


@pytest.mark.parametrize(
    "drop", [b"X-A: b\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"], ids=["a head", "interim responses"]
)
def test_a_backend_that_dribbles_has_one_deadline(
    drop: bytes, sidecar: Sidecar, backend: Backend
) -> None:
    def script(connection: Connection) -> None:
        connection.until(_END)
        connection.send(b"HTTP/1.1 101 OK\r\n" if drop.startswith(b"X") else b"")
        while not connection.ended:
            connection.send(drop)
            time.sleep(0.05)

    backend.reset(script)
    with Client(sidecar.port) as client:
        begun = time.monotonic()
        client.send(upgrade(target=b"/soon"))
        reply = client.last_reply()
    assert (reply.status, reply.rest) == (504, b"")
    assert 0.3 < time.monotonic() - begun < 3
