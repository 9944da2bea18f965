"""What a person types beside a running sidecar, and what Prometheus reads from it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request

from tests.support.sidecar import Sidecar, both_engines, route

pytestmark = both_engines


@pytest.fixture
async def port() -> AsyncIterator[int]:
    async def echo(connection: ServerConnection) -> None:
        async for message in connection:
            await connection.send(message)

    async with serve(echo, "127.0.0.1", 0, subprotocols=None) as server:
        yield next(iter(server.sockets)).getsockname()[1]


async def run(sidecar: Sidecar, *words: str) -> subprocess.CompletedProcess[str]:
    command = Path(sys.executable).with_name("wsroute-sidecar")
    return await asyncio.to_thread(
        subprocess.run,
        [str(command), f"--control={sidecar.control}", *words],
        check=False,
        capture_output=True,
        text=True,
    )


@contextlib.asynccontextmanager
async def clients(sidecar: Sidecar, count: int) -> AsyncIterator[list[ClientConnection]]:
    async with contextlib.AsyncExitStack() as stack:
        uri = f"ws://127.0.0.1:{sidecar.port}/"
        yield [await stack.enter_async_context(connect(uri)) for _ in range(count)]


async def closed(client: ClientConnection) -> tuple[int, str]:
    with pytest.raises(ConnectionClosed) as ended:
        await client.recv()
    assert ended.value.rcvd is not None
    return ended.value.rcvd.code, ended.value.rcvd.reason


async def test_connections_lists_every_live_tunnel_as_a_table_and_as_json(port: int) -> None:
    with Sidecar([route(port, name="chat")]) as sidecar:
        async with clients(sidecar, 2) as (one, _):
            await one.send("hello")
            await one.recv()

            listed = json.loads((await run(sidecar, "connections", "-o", "json")).stdout)
            table = (await run(sidecar, "connections")).stdout.splitlines()

    assert sorted(c["messagesIn"] for c in listed["connections"]) == [0, 1]
    assert {c["route"] for c in listed["connections"]} == {"default/chat"}
    assert table[0].split()[:3] == ["ID", "ROUTE", "RULE"]
    assert len(table) == 3


async def test_routes_prints_what_is_served_as_json(port: int) -> None:
    with Sidecar([route(port, name="chat", upgrade="Required"), route(port, name="b")]) as sidecar:
        printed = json.loads((await run(sidecar, "routes")).stdout)

    assert sorted(item["name"] for item in printed) == ["b", "chat"]
    (chat,) = (item["spec"] for item in printed if item["name"] == "chat")
    assert chat["rules"] == [{"backend": {"port": port}, "upgrade": "Required"}]


async def test_close_ends_the_one_tunnel_that_is_named_with_code_and_reason(port: int) -> None:
    with Sidecar([route(port)]) as sidecar:
        async with clients(sidecar, 2) as (one, two):
            await one.send("x")
            await one.recv()
            (mine,) = [c["id"] for c in sidecar.connections() if c["messagesIn"] == 1]

            done = await run(sidecar, "close", mine, "--code", "4001", "--reason", "log in again")

            assert (done.returncode, done.stdout) == (0, "1 tunnels closed\n")
            assert await closed(one) == (4001, "log in again")
            await two.send("still here")
            assert await two.recv() == "still here"
            ended = await asyncio.to_thread(sidecar.logged, "tunnel_ended")
            assert (ended["reason"], ended["initiator"]) == ("killed", "sidecar")


async def test_close_by_route_ends_all_of_it_and_nothing_else(port: int) -> None:
    routes = [route(port, name="a", hostnames=["a.test"]), route(port, name="b")]
    with Sidecar(routes) as sidecar:
        at: dict[str, Any] = {"host": "127.0.0.1", "port": sidecar.port, "proxy": None}
        async with connect("ws://a.test/", **at) as of_a, connect("ws://b.test/", **at) as of_b:
            done = await run(sidecar, "close", "--route", "default/b")

            assert done.stdout == "1 tunnels closed\n"
            assert (await closed(of_b))[0] == 1001
            await of_a.send("still here")
            assert await of_a.recv() == "still here"


async def test_to_close_all_of_a_route_that_has_none_is_no_mistake(port: int) -> None:
    with Sidecar([route(port)]) as sidecar:
        done = await run(sidecar, "close", "--route", "default/other", "--output", "json")

    assert (done.returncode, json.loads(done.stdout)) == (0, {"closed": 0})


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        pytest.param(["close", "nobody"], 1, "there is no tunnel nobody", id="unknown tunnel"),
        pytest.param(["close"], 1, "name one tunnel by its ID", id="nothing named"),
        pytest.param(["close", "x", "--code", "1006"], 1, "1006 is not", id="a code not to send"),
        pytest.param(["close", "x", "--code", "99999"], 1, "99999", id="no close code"),
    ],
)
async def test_a_mistaken_close_says_what_was_wrong_in_one_line(
    words: list[str], status: int, said: str, port: int
) -> None:
    with Sidecar([route(port)]) as sidecar:
        done = await run(sidecar, *words)

    output = done.stdout + done.stderr
    assert done.returncode == status
    assert said in output
    assert len(output.splitlines()) == 1


async def test_without_a_sidecar_a_command_says_so_in_one_line(tmp_path: Path) -> None:
    with Sidecar([route(1)]) as sidecar:
        pass
    done = await run(sidecar, "connections")

    assert done.returncode == 1
    assert "no sidecar listens on" in done.stderr
    assert len(done.stderr.splitlines()) == 1


async def test_drain_ends_what_is_open_refuses_what_is_new_and_waits_for_the_end(port: int) -> None:
    with Sidecar([route(port, drain={"timeout": "100ms", "closeCode": 1012})]) as sidecar:
        async with clients(sidecar, 2) as (one, two):
            draining = asyncio.create_task(run(sidecar, "drain", "--wait"))
            assert {await closed(one), await closed(two)} == {(1012, "pod is going away")}
            assert (await draining).stdout == "draining; 0 tunnels are open\n"
        reader, writer = await asyncio.open_connection("127.0.0.1", sidecar.port)
        writer.write(
            b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        head = await reader.readuntil(b"\r\n\r\n")
        writer.close()
        await writer.wait_closed()

    assert head.startswith(b"HTTP/1.1 503 ")
    assert b"\r\nRetry-After: " in head


async def test_a_drain_that_accepts_for_a_while_is_seen_by_readiness_at_once(port: int) -> None:
    with Sidecar([route(port)]) as sidecar:
        await run(sidecar, "drain", "--accept=60")
        with pytest.raises(urllib.error.HTTPError, match="503"):
            await asyncio.to_thread(read, f"http://127.0.0.1:{sidecar.metrics}/readyz")
        async with await connect_to(sidecar) as client:
            await client.send("hello")
            assert await client.recv() == "hello"
        wrong = await run(sidecar, "drain", "--accept=soon")
    assert wrong.returncode != 0
    assert "drain: accept: " in wrong.stderr


async def test_metrics_count_tunnels_apart_from_plain_http(port: int) -> None:
    with Sidecar([route(port)]) as sidecar:
        async with clients(sidecar, 1) as (client,):
            await client.send("hello")
            await client.recv()
            with contextlib.suppress(urllib.error.HTTPError):
                await asyncio.to_thread(
                    urllib.request.urlopen, f"http://127.0.0.1:{sidecar.port}/plain"
                )
            text = await asyncio.to_thread(read, f"http://127.0.0.1:{sidecar.metrics}/metrics")

    labels = 'route="default/app",rule="0"'
    assert f"wsroute_tunnels_open{{{labels}}} 1" in text
    assert f'wsroute_tunnel_messages_total{{{labels},direction="in"}} 1' in text
    assert f'wsroute_http_requests_total{{{labels},code="4xx"}} 1' in text


def read(url: str) -> str:
    with urllib.request.urlopen(url) as response:  # noqa: S310 - it is http
        text: str = response.read().decode()
        return text


async def test_a_tunnel_whose_handshake_outlasts_the_start_of_a_drain_is_drained_too() -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def hesitate(connection: ServerConnection, _: Request) -> None:
        del connection
        asked.set()
        await go_on.wait()

    async def idle(connection: ServerConnection) -> None:
        await connection.wait_closed()

    async with serve(idle, "127.0.0.1", 0, process_request=hesitate) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        with Sidecar([route(port)]) as sidecar:
            connecting = asyncio.create_task(connect_to(sidecar))
            await asked.wait()
            await run(sidecar, "drain")
            go_on.set()

            async with await connecting as client:
                assert await closed(client) == (1001, "pod is going away")


async def connect_to(sidecar: Sidecar) -> ClientConnection:
    return await connect(f"ws://127.0.0.1:{sidecar.port}/")
