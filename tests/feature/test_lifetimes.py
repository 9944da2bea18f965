"""How long tunnels live: each limit of a rule, and the drain of the whole, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import itertools
import os
import re
import signal
import socket
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

import aiohttp
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Opcode

from tests.support.sidecar import Sidecar, both_engines, free_ports, route, routes_of
from tests.support.traffic import LIMIT, Tunnel, echo, tunnel
from tests.support.wire import Wire, frame, text
from wsroute_sidecar.handshake import accept_for

pytestmark = both_engines

KEY: Final = b"dGhlIHNhbXBsZSBub25jZQ=="
HANDSHAKE: Final = (
    b"GET %s HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + KEY + b"\r\n\r\n"
)
SWITCHING: Final = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Accept: " + accept_for(KEY) + b"\r\n\r\n"
)
AT_ONCE: Final = 5.0
"""Seconds within which what happens at once has happened, on a busy machine."""

RULES: Final[dict[str, dict[str, Any]]] = {
    "/idle": {"connection": {"idleTimeout": "300ms"}},
    "/data": {"connection": {"idleTimeout": "300ms", "idleCounts": "DataFrames"}},
    "/old": {"connection": {"maxDuration": "300ms", "maxDurationJitter": 100}},
    "/alive": {"keepalive": {"pingInterval": "100ms", "pongTimeout": "5s"}},
    "/dead": {"keepalive": {"pingInterval": "100ms", "pongTimeout": "100ms"}},
    "/small": {"limits": {"maxMessageSize": "1Ki"}},
    "/few": {"limits": {"maxConnections": 2}},
    "/each": {"limits": {"maxConnectionsPerClient": 1}},
    "/seldom": {"limits": {"handshakesPerSecond": 2}},
    "/hasty": {"timeouts": {"handshake": "200ms"}},
}


@pytest.fixture(scope="module")
def port() -> int:
    """The backend's."""
    return free_ports(1)[0]


@pytest.fixture(scope="module")
def sidecar(port: int, relay: str) -> Iterator[Sidecar]:
    rules = [
        {"matches": [{"path": {"value": path}}], "backend": {"port": port}, **rule}
        for path, rule in RULES.items()
    ]
    with Sidecar([routes_of(rules)]) as sidecar:
        yield sidecar
        assert sidecar.errors() == []


@pytest.fixture
async def backend(port: int) -> AsyncIterator[None]:
    async with echo(port=port):
        yield


@pytest.fixture
def listener(port: int) -> Iterator[socket.socket]:
    """In the place of a backend."""
    with socket.create_server(("127.0.0.1", port)) as listener:
        listener.setblocking(False)
        yield listener


@contextlib.asynccontextmanager
async def client(sidecar: Sidecar, path: str = "/") -> AsyncIterator[ClientConnection]:
    uri = f"ws://127.0.0.1:{sidecar.port}{path}"
    async with connect(uri, compression=None, ping_interval=None) as connection:
        yield connection


async def end(connection: ClientConnection) -> tuple[int, str]:
    """Wait for the Close that the client gets."""
    async with asyncio.timeout(LIMIT):
        with pytest.raises(ConnectionClosed) as ended:
            await connection.recv()
    assert ended.value.rcvd is not None
    return ended.value.rcvd.code, ended.value.rcvd.reason


async def closed(sidecar: Sidecar) -> str:
    """Wait until no tunnel is open; the reason of the last one's end."""
    async with asyncio.timeout(LIMIT):
        while await asyncio.to_thread(sidecar.connections):
            pass
    return str(sidecar.ended()[-1]["reason"])


async def refusal(sidecar: Sidecar, path: str = "/") -> tuple[int, bool]:
    """Status of a handshake that fails, and whether it says when to come again."""
    with pytest.raises(InvalidStatus) as refused:
        async with client(sidecar, path):
            pass
    answer = refused.value.response
    return answer.status_code, "Retry-After" in answer.headers


async def admitted(sidecar: Sidecar, path: str) -> bool:
    """Whether a handshake succeeds before LIMIT, however often it is refused."""
    async with asyncio.timeout(LIMIT):
        while True:
            with contextlib.suppress(InvalidStatus):
                async with client(sidecar, path):
                    return True


async def dial(sidecar: Sidecar, path: str) -> Wire:
    """A raw client that has sent its handshake."""
    sock = socket.socket()
    wire = Wire(sock)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", sidecar.port))
    await wire.send(HANDSHAKE % path.encode())
    return wire


@contextlib.asynccontextmanager
async def raw(
    sidecar: Sidecar, listener: socket.socket, path: str
) -> AsyncIterator[tuple[Wire, Wire]]:
    """A tunnel whose two ends do what the test says, and nothing else."""
    near = await dial(sidecar, path)
    sock, _ = await asyncio.get_running_loop().sock_accept(listener)
    far = Wire(sock)
    key = re.search(rb"(?i)sec-websocket-key: (\S+)", await far.until(b"\r\n\r\n"))
    assert key is not None
    assert key[1] == KEY
    await far.send(SWITCHING)
    await near.until(b"\r\n\r\n")
    try:
        yield near, far
    finally:
        near.leave()
        far.leave()


# Limits of a rule.


@pytest.mark.usefixtures("backend")
async def test_a_tunnel_ends_when_it_was_idle_and_not_before(sidecar: Sidecar) -> None:
    async with client(sidecar, "/idle") as one:
        busy_until = time.monotonic() + 0.6
        while time.monotonic() < busy_until:
            await one.send("hello")
            await one.recv()
        last = time.monotonic()
        assert await end(one) == (1001, "connection was idle for too long")
        assert time.monotonic() - last > 0.29
    assert await closed(sidecar) == "idle"


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize(("path", "lives"), [("/idle", True), ("/data", False)])
async def test_pings_count_against_idleness_unless_the_rule_says_otherwise(
    sidecar: Sidecar, path: str, *, lives: bool
) -> None:
    async with client(sidecar, path) as one:
        pings_until = time.monotonic() + 0.7
        with contextlib.suppress(ConnectionClosed):
            while time.monotonic() < pings_until:
                await (await one.ping())
        assert (one.close_code is None) == lives


@pytest.mark.usefixtures("backend")
async def test_tunnels_end_at_their_greatest_age_each_at_its_own_within_the_jitter(
    sidecar: Sidecar,
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        some = [await stack.enter_async_context(client(sidecar, "/old")) for _ in range(8)]
        for one in some:
            assert await end(one) == (1001, "connection reached its maximum duration")
    assert await closed(sidecar) == "max_duration"
    ended = sidecar.ended()[-8:]
    ages = sorted(item["age"] for item in ended)
    assert {item["reason"] for item in ended} == {"max_duration"}
    assert ages[0] >= 0.3
    assert ages[-1] < 0.6 + AT_ONCE
    assert ages[-1] - ages[0] > 0.03


async def test_who_answers_pings_stays_and_the_other_side_sees_none_of_it(
    sidecar: Sidecar, listener: socket.socket
) -> None:
    async with raw(sidecar, listener, "/alive") as (near, far):
        for _ in range(4):
            for wire, mask in ((near, True), (far, False)):
                ping = await wire.frame()
                assert ping.opcode is Opcode.PING
                await wire.send(frame(Opcode.PONG, ping.data, mask=mask))
        await near.send(text("hello", mask=True))
        while (seen := await far.frame()).opcode is Opcode.PING:
            await far.send(frame(Opcode.PONG, seen.data, mask=False))
        assert seen.data == b"hello"


@pytest.mark.parametrize("dead", ["client", "backend"])
async def test_who_does_not_answer_a_ping_ends_the_tunnel(
    sidecar: Sidecar, listener: socket.socket, dead: str
) -> None:
    async with raw(sidecar, listener, "/dead") as (near, far):
        live, mask = (far, False) if dead == "client" else (near, True)
        while (seen := await live.frame()).opcode is Opcode.PING:
            await live.send(frame(Opcode.PONG, seen.data, mask=mask))
        assert seen.close == (1011, f"no answer to a ping by the {dead}")
    assert await closed(sidecar) == "ping_timeout"


@pytest.mark.usefixtures("backend")
async def test_a_message_beyond_the_limit_ends_the_tunnel(sidecar: Sidecar) -> None:
    async with client(sidecar, "/small") as one:
        await one.send(b"x" * 1024)
        assert await one.recv() == b"x" * 1024
        await one.send([b"x" * 1000, b"x" * 25])
        assert await end(one) == (1009, "message is too big")
    assert await closed(sidecar) == "limit"


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize(("path", "room", "status"), [("/few", 2, 503), ("/each", 1, 429)])
async def test_beyond_so_many_connections_a_handshake_is_refused(
    sidecar: Sidecar, path: str, room: int, status: int
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(room):
            await stack.enter_async_context(client(sidecar, path))
        assert await refusal(sidecar, path) == (status, True)
    assert await admitted(sidecar, path)


@pytest.mark.usefixtures("backend")
async def test_beyond_so_many_handshakes_in_a_second_one_is_refused(sidecar: Sidecar) -> None:
    outcomes = await asyncio.gather(
        *(client(sidecar, "/seldom").__aenter__() for _ in range(10)), return_exceptions=True
    )
    refused = [item.response for item in outcomes if isinstance(item, InvalidStatus)]
    opened = [item for item in outcomes if isinstance(item, ClientConnection)]
    assert 2 <= len(opened) < 10
    assert len(opened) + len(refused) == 10
    assert {(item.status_code, "Retry-After" in item.headers) for item in refused} == {(429, True)}
    for one in opened:
        await one.close()
    assert await admitted(sidecar, "/seldom")


async def test_a_backend_that_does_not_answer_a_handshake_in_time_is_a_504(
    sidecar: Sidecar, listener: socket.socket
) -> None:
    refused = asyncio.create_task(refusal(sidecar, "/hasty"))
    sock, _ = await asyncio.get_running_loop().sock_accept(listener)
    assert await refused == (504, False)
    silent = Wire(sock)
    assert (await silent.rest()).startswith(b"GET /hasty HTTP/1.1\r\n")
    silent.leave()


async def test_a_client_that_leaves_during_its_handshake_gives_its_place_back(
    sidecar: Sidecar, listener: socket.socket
) -> None:
    for _ in range(3):
        near = await dial(sidecar, "/each")
        sock, _ = await asyncio.get_running_loop().sock_accept(listener)
        far = Wire(sock)
        await far.until(b"\r\n\r\n")
        near.leave()
        assert await far.rest() == b""
        far.leave()


async def test_what_a_client_sends_before_the_101_is_held_within_bounds_and_then_arrives(
    sidecar: Sidecar, listener: socket.socket
) -> None:
    early = frame(Opcode.BINARY, bytes(32 << 20), mask=True)
    near = await dial(sidecar, "/alive")
    sock, _ = await asyncio.get_running_loop().sock_accept(listener)
    far = Wire(sock)
    await far.until(b"\r\n\r\n")
    before = sidecar.peak_memory()
    sending = asyncio.create_task(near.send(early))
    done, _ = await asyncio.wait([sending], timeout=0.3)
    assert not done
    await far.send(SWITCHING)
    assert await far.read(len(early)) == early
    await sending
    assert sidecar.peak_memory() - before < 4 << 20
    near.leave()
    far.leave()


# The drain of the whole.


async def test_sigterm_spreads_the_ends_over_the_window_and_exits_with_0() -> None:
    drain = {"timeout": "900ms", "closeCode": 1012}
    async with echo("one") as port, contextlib.AsyncExitStack() as stack:
        sidecar = stack.enter_context(Sidecar([route(port, drain=drain)]))
        some = [await stack.enter_async_context(tunnel(sidecar)) for _ in range(6)]
        sidecar.terminate()
        begun = time.monotonic()
        times = sorted(await asyncio.gather(*(ends(one) for one in some)))
        assert await asyncio.to_thread(sidecar.wait) == 0
        assert times[0] - begun < 0.6
        assert 0.7 < times[-1] - begun < 0.9 + AT_ONCE
        assert all(later - earlier > 0.05 for earlier, later in itertools.pairwise(times))
        ended = [line for line in sidecar.log if line["event"] == "tunnel_ended"]
        assert [line["reason"] for line in ended] == ["drain"] * 6
        assert sidecar.errors() == []


async def ends(one: Tunnel) -> float:
    assert await one.closed() == (1012, "pod is going away")
    return time.monotonic()


async def test_while_it_drains_new_tunnels_are_refused_and_plain_http_is_served() -> None:
    async with echo("one") as port, contextlib.AsyncExitStack() as stack:
        sidecar = stack.enter_context(Sidecar([route(port, drain={"timeout": "3s"})]))
        some = [await stack.enter_async_context(tunnel(sidecar)) for _ in range(3)]
        sidecar.terminate()
        await asyncio.to_thread(sidecar.logged, "drain_begins")
        assert await refusal(sidecar) == (503, True)
        assert await status(sidecar.port) == 426  # the backend's own word
        assert await status(sidecar.metrics, "/readyz") == 503
        assert await status(sidecar.metrics, "/healthz") == 200
        os.kill(sidecar.pid, signal.SIGTERM)
        assert await asyncio.to_thread(sidecar.wait) == 0
        for one in some:
            await one.stop()


async def test_while_it_drains_a_kept_connection_ends_with_its_next_answer() -> None:
    async with echo("one") as port, contextlib.AsyncExitStack() as stack:
        sidecar = stack.enter_context(Sidecar([route(port, drain={"timeout": "3s"})]))
        await stack.enter_async_context(tunnel(sidecar))
        kept = http.client.HTTPConnection("127.0.0.1", sidecar.port, timeout=LIMIT)
        stack.callback(kept.close)
        assert await asyncio.to_thread(lives_on, kept)
        sidecar.ask("POST", "/v1/drain")
        assert not await asyncio.to_thread(lives_on, kept)


def lives_on(connection: http.client.HTTPConnection) -> bool:
    """Whether a connection lives on after one more request."""
    connection.request("GET", "/")
    answer = connection.getresponse()
    answer.read()
    return not answer.will_close


async def status(port: int, path: str = "/") -> int:
    async with aiohttp.request("GET", f"http://127.0.0.1:{port}{path}") as answer:
        return answer.status


async def test_a_second_signal_ends_what_does_not_end_by_itself() -> None:
    async with echo("one") as port, contextlib.AsyncExitStack() as stack:
        sidecar = stack.enter_context(Sidecar([route(port, drain={"timeout": "1h"})]))
        for _ in range(3):
            await stack.enter_async_context(tunnel(sidecar))
        sidecar.terminate()
        await asyncio.to_thread(sidecar.logged, "drain_begins")
        begun = time.monotonic()
        sidecar.terminate()
        assert await asyncio.to_thread(sidecar.wait) == 0
        assert time.monotonic() - begun < AT_ONCE


async def test_sigint_ends_all_tunnels_at_once_and_politely() -> None:
    async with echo("one") as port, contextlib.AsyncExitStack() as stack:
        sidecar = stack.enter_context(Sidecar([route(port, drain={"timeout": "1h"})]))
        some = [await stack.enter_async_context(tunnel(sidecar)) for _ in range(3)]
        os.kill(sidecar.pid, signal.SIGINT)
        begun = time.monotonic()
        for one in some:
            assert await one.closed() == (1001, "pod is going away")
        assert await asyncio.to_thread(sidecar.wait) == 0
        assert time.monotonic() - begun < AT_ONCE


async def test_without_tunnels_there_is_nothing_to_wait_for() -> None:
    with Sidecar([route(1, drain={"timeout": "1h"})]) as sidecar:
        begun = time.monotonic()
        assert await asyncio.to_thread(sidecar.stop) == 0
        assert time.monotonic() - begun < AT_ONCE


async def test_a_drain_that_somebody_waits_for_does_not_hold_up_the_end() -> None:
    async with echo("one") as port, contextlib.AsyncExitStack() as stack:
        sidecar = stack.enter_context(Sidecar([route(port, drain={"timeout": "1s"})]))
        some = [await stack.enter_async_context(tunnel(sidecar)) for _ in range(2)]
        waiting = asyncio.create_task(asyncio.to_thread(sidecar.ask, "POST", "/v1/drain?wait=1"))
        await asyncio.to_thread(sidecar.logged, "drain_begins")
        begun = time.monotonic()
        sidecar.terminate()
        for one in some:
            assert await one.closed() == (1001, "pod is going away")
        assert (await waiting)["open"] == 0
        assert await asyncio.to_thread(sidecar.wait) == 0
        assert time.monotonic() - begun < 1 + AT_ONCE


async def test_a_handshake_under_way_when_sigint_comes_is_ended_too() -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def hesitate(*_: object) -> None:
        asked.set()
        await go_on.wait()

    async with (
        serve(ServerConnection.wait_closed, "127.0.0.1", 0, process_request=hesitate) as one,
        contextlib.AsyncExitStack() as stack,
    ):
        port = next(iter(one.sockets)).getsockname()[1]
        with Sidecar([route(port, drain={"timeout": "1h"})]) as sidecar:
            connecting = asyncio.ensure_future(stack.enter_async_context(client(sidecar)))
            await asked.wait()
            os.kill(sidecar.pid, signal.SIGINT)
            await asyncio.to_thread(sidecar.logged, "drain_begins")
            go_on.set()
            assert await end(await connecting) == (1001, "pod is going away")
            begun = time.monotonic()
            assert await asyncio.to_thread(sidecar.wait) == 0
            assert time.monotonic() - begun < AT_ONCE


async def test_plain_http_that_is_in_flight_at_sigterm_is_answered() -> None:
    asked, answer = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        await answer.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as backend:
        port = backend.sockets[0].getsockname()[1]
        with Sidecar([route(port, drain={"timeout": "20s"})]) as sidecar:
            async with aiohttp.ClientSession() as session:
                asking = asyncio.create_task(session.get(f"http://127.0.0.1:{sidecar.port}/"))
                await asked.wait()
                sidecar.terminate()
                await asyncio.to_thread(sidecar.logged, "drain_begins")
                await asyncio.sleep(2.5)  # longer than a connection without a request may stay
                answer.set()
                response = await asking
                assert (response.status, await response.text()) == (200, "ok")
            assert await asyncio.to_thread(sidecar.wait) == 0
