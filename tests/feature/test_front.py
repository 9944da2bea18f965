"""What stands before HTTP on the data port: TLS, and the PROXY protocol."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import Server, ServerConnection, serve

from tests.support.sidecar import Sidecar, route
from tests.support.tls import issue, trust
from tests.support.waiting import eventually
from wsroute_sidecar.proxy_protocol import SIGNATURE
from wsroute_sidecar.tls import Certificate

HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


@pytest.fixture
async def backend() -> AsyncIterator[tuple[int, list[ServerConnection]]]:
    seen: list[ServerConnection] = []

    async def echo(connection: ServerConnection) -> None:
        seen.append(connection)
        async for message in connection:
            await connection.send(message)

    server: Server
    async with serve(echo, "127.0.0.1", 0) as server:
        yield next(iter(server.sockets)).getsockname()[1], seen


async def test_wss_reaches_a_backend_that_speaks_ws(
    tmp_path: Path, backend: tuple[int, list[ServerConnection]]
) -> None:
    port, seen = backend
    with Sidecar([route(port)], *issue(tmp_path, "first")) as sidecar:
        uri = f"wss://localhost:{sidecar.port}/"
        async with connect(uri, ssl=trust(tmp_path), host="127.0.0.1") as client:
            for size in (1, 70_000, 1_000_000):
                await client.send("x" * size)
                assert await client.recv() == "x" * size
            await client.close(4000, "done")
            request = seen[0].request

        ended = await asyncio.to_thread(sidecar.logged, "tunnel_ended")
        assert (ended["reason"], ended["code"]) == ("client", 4000)
        assert request is not None
        assert request.headers["X-Forwarded-Proto"] == "https"
        assert sidecar.errors() == []


async def test_the_kernel_probes_the_client_of_a_tunnel(
    backend: tuple[int, list[ServerConnection]],
) -> None:
    port, _ = backend
    with Sidecar([route(port)]) as sidecar:
        async with connect(f"ws://127.0.0.1:{sidecar.port}/") as client:
            await client.send("x")
            await client.recv()
            keepalive = "02"  # once the client has acknowledged what it got
            await eventually(lambda: timers(sidecar.port) == [keepalive])


async def test_a_client_is_accepted_with_its_request_or_after_a_second_without(
    backend: tuple[int, list[ServerConnection]],
) -> None:
    port, _ = backend
    with Sidecar([route(port)]) as sidecar:
        before = sidecar.descriptors()
        with socket.create_connection(("127.0.0.1", sidecar.port)):
            async with connect(f"ws://127.0.0.1:{sidecar.port}/"):
                client_and_backend = 2
                assert sidecar.descriptors() == before + client_and_backend
            await eventually(lambda: sidecar.descriptors() == before + 1)


def timers(port: int) -> list[str]:
    """The kernel's timer of each established connection to `port`."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    here, established = f"0100007F:{port:04X}", "01"
    return [row[5].partition(":")[0] for row in rows if (row[1], row[3]) == (here, established)]


async def test_tls_below_1_2_is_refused(
    tmp_path: Path, backend: tuple[int, list[ServerConnection]]
) -> None:
    issue(tmp_path, "first")
    assert Certificate(tmp_path / "tls.crt", tmp_path / "tls.key").context.minimum_version == (
        ssl.TLSVersion.TLSv1_2
    )


def test_a_renewed_certificate_is_taken_up_and_an_unchanged_one_is_not_read_again(
    tmp_path: Path,
) -> None:
    issue(tmp_path, "first")
    certificate = Certificate(tmp_path / "tls.crt", tmp_path / "tls.key")
    assert not certificate.reload()

    issue(tmp_path, "second")

    assert certificate.reload()
    assert not certificate.reload()


async def test_a_running_sidecar_shows_its_renewed_certificate_and_keeps_its_tunnels(
    tmp_path: Path, backend: tuple[int, list[ServerConnection]]
) -> None:
    port, _ = backend
    with Sidecar([route(port)], *issue(tmp_path, "first")) as sidecar:
        uri = f"wss://localhost:{sidecar.port}/"
        async with connect(uri, ssl=trust(tmp_path), host="127.0.0.1") as early:
            issue(tmp_path, "second")
            await asyncio.to_thread(sidecar.logged, "certificate_loaded")
            async with connect(uri, ssl=trust(tmp_path), host="127.0.0.1") as late:
                for client in (early, late):
                    await client.send("hello")
                    assert await client.recv() == "hello"


@pytest.mark.parametrize(
    ("trusted", "sent", "client"),
    [
        pytest.param("127.0.0.0/8", "192.0.2.7", "192.0.2.7", id="a trusted proxy is believed"),
        pytest.param("10.0.0.0/8", None, "127.0.0.1", id="others speak HTTP at once"),
    ],
)
async def test_the_proxy_protocol_says_who_the_client_is(
    trusted: str,
    sent: str | None,
    client: str,
    backend: tuple[int, list[ServerConnection]],
) -> None:
    port, _ = backend
    preface = b""
    if sent is not None:
        address = bytes(int(part) for part in sent.split("."))
        preface = SIGNATURE + b"\x21\x11\x00\x0c" + address + address + b"\x00\x01\x00\x02"
    flags = ("--proxy-protocol=true", f"--trusted-proxies={trusted}")

    with Sidecar([route(port)], *flags) as sidecar:
        reader, writer = await asyncio.open_connection("127.0.0.1", sidecar.port)
        for byte in preface + HANDSHAKE:
            writer.write(bytes([byte]))
            await writer.drain()
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")

        opened = await asyncio.to_thread(sidecar.logged, "tunnel_opened")
        writer.close()
        await writer.wait_closed()

    assert opened["client"] == client


async def test_a_trusted_proxy_that_does_not_say_who_its_client_is_is_cut(
    backend: tuple[int, list[ServerConnection]],
) -> None:
    port, seen = backend
    flags = ("--proxy-protocol=true", "--trusted-proxies=127.0.0.0/8")

    with Sidecar([route(port)], *flags) as sidecar:
        reader, writer = await asyncio.open_connection("127.0.0.1", sidecar.port)
        writer.write(HANDSHAKE)

        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""

        writer.close()
        assert seen == []
        assert (await asyncio.to_thread(sidecar.logged, "request_malformed"))[
            "client"
        ] == "127.0.0.1"
