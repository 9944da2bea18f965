"""Plain HTTP through the sidecar: what goes in on one side comes out on the other."""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any, Final

import aiohttp
import pytest
from aiohttp import web

from tests.support.sidecar import Sidecar, free_ports, routes_of
from tests.support.wire import LIMIT, Wire

HOST: Final = b"Host: app.example\r\n"


@pytest.fixture(scope="module")
def port() -> int:
    """The backend's."""
    return free_ports(1)[0]


@pytest.fixture(scope="module")
def sidecar(port: int) -> Iterator[Sidecar]:
    backend = {"port": port}
    rules: list[dict[str, Any]] = [
        {"backend": backend},
        {
            "matches": [{"path": {"value": "/hasty"}}],
            "backend": backend,
            "timeouts": {"request": "200ms"},
        },
    ]
    with Sidecar([routes_of(rules)]) as sidecar:
        yield sidecar
        assert sidecar.errors() == []


@pytest.fixture
async def client(sidecar: Sidecar) -> AsyncIterator[Wire]:
    wire = await connect(sidecar.port)
    yield wire
    wire.leave()


async def connect(port: int) -> Wire:
    sock = socket.socket()
    wire = Wire(sock)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
    return wire


class Raw:
    """A backend that speaks bytes."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener: Final = listener
        self._wires: Final[list[Wire]] = []

    async def accept(self) -> Wire:
        """The next connection."""
        async with asyncio.timeout(LIMIT):
            sock, _ = await asyncio.get_running_loop().sock_accept(self._listener)
        self._wires.append(Wire(sock))
        return self._wires[-1]

    async def request(self) -> tuple[Wire, str]:
        """The next connection, and the head that came on it."""
        wire = await self.accept()
        return wire, (await wire.until(b"\r\n\r\n")).decode("latin-1")

    def leave(self) -> None:
        for wire in self._wires:
            wire.leave()


@pytest.fixture
def raw(port: int) -> Iterator[Raw]:
    with socket.create_server(("127.0.0.1", port)) as listener:
        listener.setblocking(False)
        backend = Raw(listener)
        yield backend
        backend.leave()


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serving(port: int, handler: Handler) -> AsyncIterator[None]:
    """A real server at `port`."""
    app = web.Application(client_max_size=64 << 20)
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield
    finally:
        await runner.cleanup()


@asynccontextmanager
async def session(sidecar: Sidecar) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(
        f"http://127.0.0.1:{sidecar.port}", auto_decompress=False
    ) as session:
        yield session


def get(path: str = "/", *, method: str = "GET", version: str = "1.1", extra: bytes = b"") -> bytes:
    return f"{method} {path} HTTP/{version}\r\n".encode() + HOST + extra + b"\r\n"


async def response(wire: Wire) -> tuple[int, str, bytes]:
    """Status, head and body of a response, its body framed by length or chunked."""
    head = (await wire.until(b"\r\n\r\n")).decode("latin-1")
    status = int(head.split()[1])
    if length := re.search(r"(?im)^content-length: (\d+)", head):
        return status, head, await wire.read(int(length[1]))
    body = b""
    if "transfer-encoding: chunked" in head.lower():
        while piece := await chunk(wire):
            body += piece
    return status, head, body


async def chunk(wire: Wire) -> bytes:
    size = int(await wire.until(b"\r\n"), 16)
    return (await wire.read(size + 2))[:-2]


OK: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


# Bodies are streamed.


@pytest.mark.parametrize("chunked", [False, True], ids=["by length", "chunked"])
async def test_large_bodies_pass_unchanged_both_ways(
    sidecar: Sidecar, port: int, *, chunked: bool
) -> None:
    sent = secrets.token_bytes(8 << 20)

    async def echo(request: web.Request) -> web.StreamResponse:
        assert ("Content-Length" in request.headers) != chunked
        answer = web.StreamResponse()
        if not chunked:
            answer.content_length = request.content_length
        await answer.prepare(request)
        async for piece in request.content.iter_any():
            await answer.write(piece)
        return answer

    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(sent), 100_000):
            yield sent[at : at + 100_000]

    length = {} if chunked else {"Content-Length": str(len(sent))}
    async with serving(port, echo), session(sidecar) as http:
        async with http.post("/", data=pieces(), headers=length) as answer:
            received = await answer.read()
        assert ("Content-Length" in answer.headers) != chunked
    assert hashlib.sha256(received).digest() == hashlib.sha256(sent).digest()


async def test_server_sent_events_arrive_one_by_one_and_the_head_before_the_first(
    sidecar: Sidecar, port: int
) -> None:
    go = asyncio.Semaphore(0)

    async def events(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await answer.prepare(request)
        for number in range(3):
            await go.acquire()
            await answer.write(b"data: %d\n\n" % number)
        return answer

    async with serving(port, events), session(sidecar) as http, http.get("/") as answer:
        assert answer.content_type == "text/event-stream"
        for number in range(3):
            go.release()
            assert await answer.content.readuntil(b"\n\n") == b"data: %d\n\n" % number
        assert await answer.read() == b""


@pytest.mark.parametrize(
    ("framing", "first", "last"),
    [
        pytest.param(b"Content-Length: 6\r\n", b"abc", b"def", id="by length"),
        pytest.param(
            b"Transfer-Encoding: chunked\r\n",
            b"3\r\nabc\r\n",
            b"3\r\ndef\r\n0\r\n\r\n",
            id="chunked",
        ),
    ],
)
async def test_a_slow_upload_reaches_the_backend_as_it_comes(
    client: Wire, raw: Raw, framing: bytes, first: bytes, last: bytes
) -> None:
    await client.send(get(method="POST", extra=framing) + first)
    backend, head = await raw.request()
    assert framing.decode().lower() in head.lower()
    assert await backend.read(len(first)) == first
    await client.send(last)
    assert await backend.read(len(last)) == last
    await backend.send(OK)
    assert (await response(client))[::2] == (200, b"ok")


async def test_the_backend_gets_the_head_before_any_of_the_body(client: Wire, raw: Raw) -> None:
    await client.send(get(method="POST", extra=b"Content-Length: 3\r\n"))
    backend, _ = await raw.request()
    await client.send(b"abc")
    assert await backend.read(3) == b"abc"
    await backend.send(OK)
    assert (await response(client))[0] == 200


async def test_an_upload_that_the_backend_does_not_read_is_held_within_bounds(
    client: Wire, raw: Raw, sidecar: Sidecar
) -> None:
    size = 64 << 20
    await client.send(get(method="POST", extra=b"Content-Length: %d\r\n" % size))
    backend, _ = await raw.request()
    before = sidecar.peak_memory()
    sending = asyncio.create_task(client.send(bytes(size)))
    done, _ = await asyncio.wait([sending], timeout=0.3)
    assert not done
    assert await backend.read(size) == bytes(size)
    await sending
    assert sidecar.peak_memory() - before < 4 << 20
    await backend.send(OK)
    assert (await response(client))[0] == 200


async def test_a_download_that_the_client_does_not_read_is_held_within_bounds(
    client: Wire, raw: Raw, sidecar: Sidecar
) -> None:
    size = 64 << 20
    await client.send(get())
    backend, _ = await raw.request()
    before = sidecar.peak_memory()
    await backend.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
    sending = asyncio.create_task(backend.send(bytes(size)))
    done, _ = await asyncio.wait([sending], timeout=0.3)
    assert not done
    assert (await response(client))[::2] == (200, bytes(size))
    await sending
    assert sidecar.peak_memory() - before < 4 << 20


# What HTTP says of responses and connections.


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"),
        ("HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
        ("GET", b'HTTP/1.1 304 Not Modified\r\nETag: "1"\r\nContent-Length: 1000\r\n\r\n'),
        ("DELETE", b"HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n"),
    ],
)
async def test_responses_without_a_body_leave_the_connection_usable(
    client: Wire, raw: Raw, method: str, answer: bytes
) -> None:
    await client.send(get(method=method))
    backend, _ = await raw.request()
    await backend.send(answer)
    head = await client.until(b"\r\n\r\n")
    assert head.split()[1] == answer.split()[1]
    assert (b"Content-Length: 1000" in head) == (b"Content-Length: 1000" in answer)
    await client.send(get())
    await backend.until(b"\r\n\r\n")
    await backend.send(OK)
    assert (await response(client))[::2] == (200, b"ok")


async def test_pipelined_requests_are_answered_in_their_order(
    client: Wire, sidecar: Sidecar, port: int
) -> None:
    async def name(request: web.Request) -> web.StreamResponse:
        return web.Response(text=request.path)

    async with serving(port, name):
        await client.send(b"".join(get(f"/{number}") for number in range(10)))
        for number in range(10):
            assert (await response(client))[::2] == (200, b"/%d" % number)


async def test_connections_to_the_backend_are_used_again(client: Wire, raw: Raw) -> None:
    await client.send(get())
    backend, _ = await raw.request()
    await backend.send(OK)
    assert (await response(client))[0] == 200
    await client.send(get())
    await backend.until(b"\r\n\r\n")
    await backend.send(OK)
    assert (await response(client))[0] == 200


async def test_an_http_1_0_client_gets_a_body_that_ends_with_the_connection(
    client: Wire, raw: Raw
) -> None:
    await client.send(get(version="1.0"))
    backend, _ = await raw.request()
    await backend.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")
    head, _, body = (await client.rest()).partition(b"\r\n\r\n")
    assert b"chunked" not in head
    assert body == b"ok"


async def test_an_http_1_0_client_may_keep_its_connection(client: Wire, raw: Raw) -> None:
    request = get(version="1.0", extra=b"Connection: keep-alive\r\n")
    await client.send(request)
    backend, _ = await raw.request()
    await backend.send(OK)
    _, head, body = await response(client)
    assert "connection: keep-alive" in head.lower()
    assert body == b"ok"
    await client.send(request)
    await backend.until(b"\r\n\r\n")
    await backend.send(OK)
    assert (await response(client))[::2] == (200, b"ok")


async def test_a_client_that_expects_it_is_told_to_continue(client: Wire, raw: Raw) -> None:
    await client.send(get(method="PUT", extra=b"Content-Length: 4\r\nExpect: 100-continue\r\n"))
    assert await client.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    await client.send(b"body")
    backend, head = await raw.request()
    assert "expect" not in head.lower()
    assert await backend.read(4) == b"body"
    await backend.send(OK)
    assert (await response(client))[0] == 200


async def test_a_client_is_not_told_to_continue_toward_nothing(
    client: Wire, sidecar: Sidecar
) -> None:
    await client.send(get(method="PUT", extra=b"Content-Length: 4\r\nExpect: 100-continue\r\n"))
    assert (await response(client))[0] == 502


@pytest.mark.parametrize(
    ("version", "sent", "told"),
    [
        pytest.param(
            "1.1",
            b"103 Early Hints\r\nLink: </a.css>\r\nlink: </b.js>\r\nKeep-Alive: 1\r\n",
            b"103 Early Hints\r\nLink: </a.css>\r\nlink: </b.js>\r\n",
            id="early hints",
        ),
        pytest.param("1.1", b"102 Wait\r\n", b"102 Processing\r\n", id="another one"),
        pytest.param("1.1", b"199 New\r\nA: b\r\n", b"199 Unknown\r\nA: b\r\n", id="unknown"),
        pytest.param(
            "1.1",
            b"103 Early Hints\r\nConnection: a\r\nA: b\r\nContent-Length: 0\r\n",
            b"103 Early Hints\r\n",
            id="not what is hop by hop, nor a length",
        ),
        pytest.param("1.1", b"103 Early Hints\r\nA: \x01\r\n", b"", id="not what is malformed"),
        pytest.param("1.1", b"100 Continue\r\n", b"", id="not a continue that nobody waits for"),
        pytest.param("1.0", b"103 Early Hints\r\nLink: </a>\r\n", b"", id="not to HTTP/1.0"),
    ],
)
async def test_interim_responses_are_passed_on_before_the_final_one(
    client: Wire, raw: Raw, version: str, sent: bytes, told: bytes
) -> None:
    await client.send(get(version=version))
    backend, _ = await raw.request()
    await backend.send(b"HTTP/1.1 " + sent + b"\r\n")
    if told:
        assert await client.until(b"\r\n\r\n") == b"HTTP/1.1 " + told + b"\r\n"
    await backend.send(OK)
    assert (await response(client))[::2] == (200, b"ok")


async def test_headers_pass_as_the_bytes_that_they_are(client: Wire, raw: Raw) -> None:
    await client.send(get(extra=b"X-Name: gr\xc3\xbcn\r\nx-UPPER: a\r\nX-Empty:\r\n"))
    backend, head = await raw.request()
    assert "X-Name: gr\xc3\xbcn\r\nx-UPPER: a\r\nX-Empty: \r\n" in head
    cookies = b"".join(b"Set-Cookie: c%d=%d; Path=/\r\n" % (n, n) for n in range(50))
    await backend.send(OK.replace(b"\r\n", b"\r\nX-Latin: gr\xfcn\r\nx-lower: b\r\n" + cookies, 1))
    _, head, body = await response(client)
    assert "X-Latin: gr\xfcn\r\nx-lower: b\r\n" + cookies.decode() in head
    assert body == b"ok"


async def test_the_backend_learns_where_a_request_came_from(client: Wire, raw: Raw) -> None:
    await client.send(
        get(extra=b"X-Forwarded-For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\n")
    )
    backend, head = await raw.request()
    fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
    assert fields["Host"] == "app.example"
    assert fields["X-Forwarded-For"] == "127.0.0.1"
    assert fields["X-Forwarded-Proto"] == "http"
    assert fields["X-Forwarded-Host"] == "app.example"
    assert fields["X-Real-IP"] == "127.0.0.1"
    assert fields["Forwarded"] == 'for=127.0.0.1;host="app.example";proto=http'
    assert re.fullmatch(r"1\.1 wsroute-[0-9a-f]{8}", fields["Via"])
    assert re.fullmatch(r"[0-9a-f]{12}", fields["X-Request-Id"])
    assert "6.6.6.6" not in head
    await backend.send(OK)
    assert (await response(client))[0] == 200


# What can go wrong.


async def test_a_backend_that_is_down_is_a_502(client: Wire) -> None:
    await client.send(get())
    status, _, body = await response(client)
    assert status == 502
    assert body.startswith(b"wsroute: 502 the backend on port ")


async def test_a_backend_that_is_slow_to_begin_is_a_504(client: Wire, raw: Raw, port: int) -> None:
    await client.send(get("/hasty"))
    backend, _ = await raw.request()
    status, _, body = await response(client)
    assert (status, body) == (
        504,
        b"wsroute: 504 the backend on port %d did not respond in time\n" % port,
    )
    assert await backend.rest() == b""


async def test_a_backend_that_is_slow_to_end_is_cut_and_the_client_notices(
    client: Wire, raw: Raw
) -> None:
    await client.send(get("/hasty"))
    backend, _ = await raw.request()
    await backend.send(OK[:-1])
    await client.until(b"\r\n\r\no")
    with pytest.raises(ConnectionResetError):
        await client.rest()
    assert await backend.rest() == b""


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-", id="half a head"),
        pytest.param(b"SSH-2.0-OpenSSH\r\n\r\n", id="another protocol"),
        pytest.param(b"HTTP/1.1 101 Switching Protocols\r\n\r\n", id="a 101 that nobody asked for"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nok",
            id="two lengths",
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"2\r\nok\r\n0\r\n\r\n",
            id="a length and chunks",
        ),
        pytest.param(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n", id="endless head"),
    ],
)
async def test_a_backend_that_answers_nonsense_is_a_502(
    client: Wire, raw: Raw, answer: bytes
) -> None:
    await client.send(get(method="POST"))  # which is not sent again on another connection
    backend, _ = await raw.request()
    await backend.send(answer)
    backend.end_output()
    status, _, body = await response(client)
    assert status == 502
    assert body.startswith(b"wsroute: 502 the backend ")
    assert b"\n" not in body[:-1]
    assert await backend.rest() == b""


BY_LENGTH: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc"
CHUNKED: Final = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
BY_THE_END: Final = b"HTTP/1.1 200 OK\r\n\r\nabc"


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize(
    ("answer", "end"),
    [
        pytest.param(BY_LENGTH, Wire.leave, id="by length, FIN"),
        pytest.param(BY_LENGTH, Wire.reset, id="by length, RST"),
        pytest.param(CHUNKED, Wire.leave, id="chunked, FIN"),
        pytest.param(CHUNKED, Wire.reset, id="chunked, RST"),
        pytest.param(BY_THE_END, Wire.reset, id="by the end, RST"),
    ],
)
async def test_a_client_notices_when_the_backend_dies_within_the_body(
    client: Wire, raw: Raw, version: str, answer: bytes, end: Callable[[Wire], None]
) -> None:
    await client.send(get(version=version))
    backend, _ = await raw.request()
    await backend.send(answer)
    await client.until(b"abc")
    end(backend)
    with pytest.raises(ConnectionResetError):
        await client.rest()


async def test_a_body_that_only_the_end_of_the_connection_ends_is_whole_then(
    client: Wire, raw: Raw
) -> None:
    await client.send(get())
    backend, _ = await raw.request()
    await backend.send(b"HTTP/1.1 200 OK\r\n\r\nabc")
    backend.leave()
    assert (await response(client))[::2] == (200, b"abc")


UPGRADE: Final = (
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


@pytest.mark.parametrize(
    ("path", "end"),
    [("/", Wire.leave), ("/", Wire.reset), ("/hasty", lambda _: None)],
    ids=["FIN", "RST", "silence"],
)
async def test_a_client_notices_when_the_refusal_of_its_upgrade_breaks_off(
    client: Wire, raw: Raw, path: str, end: Callable[[Wire], None]
) -> None:
    await client.send(get(path, extra=UPGRADE))
    backend, _ = await raw.request()
    await backend.send(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 5\r\n\r\nabc")
    await client.until(b"abc")
    end(backend)
    with pytest.raises(ConnectionResetError):
        await client.rest()


@pytest.mark.parametrize("end", [Wire.leave, Wire.reset], ids=["FIN", "RST"])
async def test_a_backend_notices_when_the_client_leaves_within_a_download(
    client: Wire, raw: Raw, end: Callable[[Wire], None]
) -> None:
    await client.send(get())
    backend, _ = await raw.request()
    await backend.send(BY_LENGTH)
    await client.until(b"abc")
    end(client)
    assert await backend.rest() == b""


@pytest.mark.parametrize("end", [Wire.leave, Wire.reset], ids=["FIN", "RST"])
@pytest.mark.parametrize(
    ("framing", "part"),
    [(b"Content-Length: 5\r\n", b"abc"), (b"Transfer-Encoding: chunked\r\n", b"3\r\nabc\r\n")],
    ids=["by length", "chunked"],
)
async def test_a_backend_notices_when_the_client_leaves_within_an_upload(
    client: Wire, raw: Raw, end: Callable[[Wire], None], framing: bytes, part: bytes
) -> None:
    await client.send(get(method="POST", extra=framing) + part)
    backend, _ = await raw.request()
    assert await backend.read(len(part)) == part
    end(client)
    assert await backend.rest() == b""


async def test_an_early_answer_to_an_upload_reaches_the_client(client: Wire, raw: Raw) -> None:
    await client.send(get(method="POST", extra=b"Content-Length: 1000\r\n") + b"abc")
    backend, _ = await raw.request()
    await backend.read(3)
    await backend.send(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 4\r\n\r\nbig\n")
    status, _, body = await response(client)
    assert (status, body) == (413, b"big\n")


@pytest.mark.parametrize("method", ["GET", "PUT", "POST"])
async def test_a_stale_connection_to_the_backend_changes_no_request(
    client: Wire, raw: Raw, method: str
) -> None:
    await client.send(get())
    stale, _ = await raw.request()
    await stale.send(OK)
    assert (await response(client))[0] == 200
    body = b"" if method == "GET" else b"body"
    await client.send(get(method=method, extra=b"Content-Length: %d\r\n" % len(body)) + body)
    await stale.until(b"\r\n\r\n")
    stale.reset()
    if method == "GET":
        backend, _ = await raw.request()
        await backend.send(OK)
        assert (await response(client))[0] == 200
    else:
        assert (await response(client))[0] == 502
