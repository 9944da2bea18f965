"""HTTP for programs, as bytes in and bytes out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import pytest
import uvloop

from tests.support.waiting import eventually
from wsroute_sidecar.ports import Port, Reply, Request, TooLarge, reply, text

LOOPS: Final = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
LIMIT: Final = 100_000


async def words(request: Request) -> Reply:
    return text(200, f"{request.query.get('word')} from {request.peer}\n")


async def length(request: Request) -> Reply:
    return reply(200, length=len(await request.read()))


async def strict(request: Request) -> Reply:
    try:
        await request.read()
    except TooLarge:
        return reply(413, error="too large")
    return reply(200)


async def broken(_: Request) -> Reply:
    raise KeyError("a mistake")


PORT: Final = Port(
    {
        "/words": {"GET": words},
        "/length": {"GET": words, "POST": length, "PUT": length},
        "/strict": {"PUT": strict},
        "/broken": {"GET": broken},
    },
    max_body=LIMIT,
)


@asynccontextmanager
async def served(port: Port = PORT) -> AsyncIterator[int]:
    server = port.server()
    listener = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
    try:
        yield listener.sockets[0].getsockname()[1]
    finally:
        listener.close()
        await server.shutdown(1.0)


async def asked(request: bytes, port: Port = PORT) -> tuple[str, bytes]:
    """Head and body of the answer on a connection that ends with it."""
    async with served(port) as number:
        reader, writer = await asyncio.open_connection("127.0.0.1", number)
        writer.write(request)
        answer = await asyncio.wait_for(reader.read(), 10.0)
        writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    return head.decode(), body


def request(line: str, body: bytes = b"", *fields: str, end: str = "close") -> bytes:
    known = ["Host: a", f"Connection: {end}", *([f"Content-Length: {len(body)}"] if body else [])]
    return "\r\n".join([f"{line} HTTP/1.1", *known, *fields, "", ""]).encode() + body


async def test_a_path_is_answered_with_its_query() -> None:
    head, body = await asked(request("GET /words?word=b%20c&word=d"))
    assert head.split("\r\n") == [
        "HTTP/1.1 200 OK",
        "Server: wsroute",
        "Content-Type: text/plain; charset=utf-8",
        "Content-Length: 19",
        "Connection: close",
    ]
    assert body == b"b c from 127.0.0.1\n"


async def test_a_target_may_have_scheme_and_host() -> None:
    head, body = await asked(request("GET http://a/words?word=b"))
    assert (head[:12], body) == ("HTTP/1.1 200", b"b from 127.0.0.1\n")


async def test_json_is_called_so() -> None:
    head, body = await asked(request("PUT /length", b"abc"))
    assert "Content-Type: application/json" in head
    assert body == b'{"length":3}'


async def test_head_is_a_get_without_its_body() -> None:
    head, body = await asked(request("HEAD /words?word=b"))
    assert head.startswith("HTTP/1.1 200 OK")
    assert "Content-Length: 17" in head
    assert body == b""


@pytest.mark.parametrize(
    ("line", "status", "field"),
    [
        pytest.param("GET /", 404, "", id="another path"),
        pytest.param("GET /words/", 404, "", id="almost the path"),
        pytest.param("GET //[", 404, "", id="no URL"),
        pytest.param("POST /words", 405, "Allow: GET, HEAD", id="another method"),
        pytest.param("DELETE /length", 405, "Allow: GET, POST, PUT, HEAD", id="of several"),
        pytest.param("HEAD /strict", 405, "Allow: PUT", id="no GET to be headed"),
    ],
)
async def test_what_is_not_there_is_said_in_one_line(line: str, status: int, field: str) -> None:
    head, body = await asked(request(line))
    assert head.startswith(f"HTTP/1.1 {status} ")
    assert field in head
    assert body.count(b"\n") == (0 if line.startswith("HEAD") else 1)


@pytest.mark.parametrize(
    ("size", "status"), [(LIMIT, 200), (LIMIT + 1, 413)], ids=["as allowed", "one byte more"]
)
@pytest.mark.parametrize("path", ["/length", "/strict"])
async def test_a_body_is_read_up_to_its_limit(path: str, size: int, status: int) -> None:
    head, _ = await asked(request(f"PUT {path}", bytes(size), end="keep-alive") + request("GET /"))
    assert head.startswith(f"HTTP/1.1 {status} ")
    assert ("Connection: close" in head) == (status == 413)


async def test_a_body_in_chunks_has_the_same_limit() -> None:
    chunk = b"8000\r\n" + bytes(0x8000) + b"\r\n"
    head, _ = await asked(request("PUT /length", b"", "Transfer-Encoding: chunked") + 4 * chunk)
    assert head.startswith("HTTP/1.1 413 ")


async def test_a_broken_body_is_malformed() -> None:
    sent = request("PUT /length", b"", "Transfer-Encoding: chunked") + b"5\r\nabc"
    async with served() as number:
        reader, writer = await asyncio.open_connection("127.0.0.1", number)
        writer.write(sent)
        await asyncio.sleep(0)
        writer.write(b"de\r\nnonsense\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
        writer.close()


async def test_who_waits_to_be_asked_for_a_body_is_asked() -> None:
    async with served() as number:
        reader, writer = await asyncio.open_connection("127.0.0.1", number)
        writer.write(request("PUT /length", b"", "Content-Length: 3", "Expect: 100-continue"))
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"abc")
        assert (await reader.read()).endswith(b'{"length":3}')
        writer.close()


async def test_a_connection_serves_one_request_after_the_other() -> None:
    once = request("GET /words?word=b", end="keep-alive")
    head, rest = await asked(once + once + request("GET /words?word=c"))
    assert "Connection" not in head
    assert rest.count(b"HTTP/1.1 200 OK") == 2
    assert rest.endswith(b"c from 127.0.0.1\n")


async def test_a_mistake_of_ours_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    head, body = await asked(request("GET /broken"))
    assert head.startswith("HTTP/1.1 500 ")
    assert body.count(b"\n") == 1
    assert "request_failed" in capsys.readouterr().err


async def test_what_was_asked_is_done_even_if_who_asked_leaves() -> None:
    asked_for, done = asyncio.Event(), asyncio.Event()

    async def slow(request: Request) -> Reply:
        asked_for.set()
        await eventually(lambda: request._exchange._transport is None)
        done.set()
        return reply(200)

    async with served(Port({"/": {"POST": slow}})) as number:
        _, writer = await asyncio.open_connection("127.0.0.1", number)
        writer.write(request("POST /"))
        await asked_for.wait()
        writer.transport.abort()
        await asyncio.wait_for(done.wait(), 10.0)


async def test_the_end_waits_for_an_answer_that_is_being_made() -> None:
    asked_for = asyncio.Event()

    async def slow(_: Request) -> Reply:
        asked_for.set()
        await asyncio.sleep(0.1)
        return text(200, "late\n")

    async with served(Port({"/": {"GET": slow}})) as number:
        reader, writer = await asyncio.open_connection("127.0.0.1", number)
        writer.write(request("GET /", end="keep-alive"))
        await asked_for.wait()
    assert (await reader.read()).endswith(b"late\n")
    writer.close()
