"""The chat of charts/examples, alone: a real process, real sockets."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

CHAT = Path(__file__).parents[2] / "charts/examples/chat/chat.py"
NO_CONTROL = {key: value for key, value in os.environ.items() if key != "WSROUTE_CONTROL"}
WIDE = "\N{GRINNING FACE}" * 2_000  # 24 kB as JSON


class Visitor:
    """A client in a room."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        self.ws = ws

    async def say(self, text: str) -> None:
        await self.ws.send_json({"text": text})

    async def hear(self, kind: str) -> dict[str, Any]:
        """The next event of that kind; others before it are passed over."""
        async with asyncio.timeout(10):
            while (event := await self.ws.receive_json())["type"] != kind:
                pass
        return dict(event)


class Chat:
    """A running chat.py, seen from outside."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process = process
        self.port = port
        self.url = f"http://127.0.0.1:{port}"

    @asynccontextmanager
    async def visitor(
        self, nick: str, room: str = "lobby", **headers: str
    ) -> AsyncIterator[Visitor]:
        url = f"{self.url}/ws/rooms/{room}"
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(url, params={"nick": nick}, headers=headers) as ws,
        ):
            yield Visitor(ws)

    async def get(self, path: str) -> tuple[int, str]:
        async with aiohttp.ClientSession() as session, session.get(self.url + path) as answer:
            return answer.status, await answer.text()


@contextmanager
def running(env: dict[str, str]) -> Iterator[Chat]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, str(CHAT), "--port", str(port)]
    with subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL) as process:
        try:
            wait_until_listening(process, port)
            yield Chat(process, port)
        finally:
            process.kill()


def wait_until_listening(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        else:
            return


@pytest.fixture(scope="module")
def chat() -> Iterator[Chat]:
    with running(NO_CONTROL) as chat:
        yield chat


async def test_the_page_needs_nothing_from_elsewhere(chat: Chat) -> None:
    status, page = await chat.get("/")
    assert status == 200
    links = re.findall(r"""(?:src|href)=["']([^"']*)|@import|url\(""", page)
    assert all(link.startswith("data:") for link in links)


async def test_it_is_healthy(chat: Chat) -> None:
    assert await chat.get("/healthz") == (200, "ok\n")


async def test_a_message_reaches_everyone_in_its_room_and_its_author(chat: Chat) -> None:
    async with chat.visitor("Ada", "talk") as ada, chat.visitor("Grace", "talk") as grace:
        await ada.say("  hello  ")
        heard = [await ada.hear("message"), await grace.hear("message")]
    assert heard[0] == heard[1]
    assert (heard[0]["nick"], heard[0]["text"]) == ("Ada", "hello")
    assert abs(heard[0]["at"] - time.time()) < 60


async def test_rooms_do_not_hear_each_other(chat: Chat) -> None:
    async with chat.visitor("Ada", "here") as ada, chat.visitor("Grace", "there") as grace:
        await ada.say("for here")
        await ada.hear("message")
        await grace.say("for there")
        assert (await grace.hear("message"))["text"] == "for there"


async def test_those_present_learn_who_comes_and_goes(chat: Chat) -> None:
    async with chat.visitor("Ada", "door") as ada:
        async with chat.visitor("Grace", "door"):
            joined = await ada.hear("joined")
        left = await ada.hear("left")
    assert (joined["nick"], joined["members"]) == ("Grace", ["Ada", "Grace"])
    assert (left["nick"], left["members"]) == ("Grace", ["Ada"])


async def test_a_newcomer_is_told_the_members_and_the_latest_fifty_messages(chat: Chat) -> None:
    async with chat.visitor("Ada", "past") as ada:
        for number in range(60):
            await ada.say(str(number))
            await ada.hear("message")
        async with chat.visitor("Grace", "past") as grace:
            hello = await grace.hear("hello")
    assert hello["members"] == ["Ada", "Grace"]
    assert [message["text"] for message in hello["history"]] == [str(n) for n in range(10, 60)]


async def test_an_empty_room_is_remembered_until_a_hundred_newer_ones_are(chat: Chat) -> None:
    async with chat.visitor("Ada", "old") as ada:
        await ada.say("I was here")
        await ada.hear("message")
    async with chat.visitor("Ada", "old") as ada:
        assert len((await ada.hear("hello"))["history"]) == 1
    for number in range(100):
        async with chat.visitor("Ada", f"new-{number}"):
            pass
    async with chat.visitor("Ada", "old") as ada:
        assert (await ada.hear("hello"))["history"] == []


@pytest.mark.parametrize(
    ("headers", "tunnel"), [({"X-Request-Id": "c7f3"}, "c7f3"), ({}, None)], ids=["behind", "alone"]
)
async def test_the_hello_names_the_tunnel_that_a_sidecar_announced(
    chat: Chat, headers: dict[str, str], tunnel: str | None
) -> None:
    async with chat.visitor("Ada", **headers) as ada:
        assert (await ada.hear("hello"))["tunnel"] == tunnel


@pytest.mark.parametrize(
    ("frame", "complaint"),
    [
        pytest.param("hello", "send a text frame with JSON", id="not JSON"),
        pytest.param("[" * 30_000, "send a text frame with JSON", id="nested too deep"),
        pytest.param('"text"', "send a text frame with JSON", id="not an object"),
        pytest.param('{"words": "hello"}', "send a text frame with JSON", id="no text"),
        pytest.param('{"text": 5}', "send a text frame with JSON", id="a number"),
        pytest.param(b'{"text": "hello"}', "send a text frame with JSON", id="binary"),
        pytest.param('{"text": "  "}', "this one has 0", id="blank"),
        pytest.param(json.dumps({"text": "x" * 2_001}), "this one has 2001", id="too long"),
    ],
)
async def test_a_bad_message_is_explained_and_the_connection_goes_on(
    chat: Chat, frame: str | bytes, complaint: str
) -> None:
    async with chat.visitor("Ada", "bad") as ada:
        await (ada.ws.send_str(frame) if isinstance(frame, str) else ada.ws.send_bytes(frame))
        assert complaint in (await ada.hear("error"))["text"]
        await ada.say("still here")
        assert (await ada.hear("message"))["text"] == "still here"


@pytest.mark.parametrize(
    "text", [WIDE, "\ud800", "x" * 2_000], ids=["wide", "surrogate", "longest"]
)
async def test_any_text_up_to_the_limit_arrives_unchanged(chat: Chat, text: str) -> None:
    async with chat.visitor("Ada", "any") as ada:
        await ada.say(text)
        assert (await ada.hear("message"))["text"] == text


async def test_a_frame_beyond_reason_ends_the_connection_with_1009(chat: Chat) -> None:
    async with chat.visitor("Ada", "big") as ada:
        await ada.hear("hello")
        await ada.ws.send_str("x" * 100_000)
        closed = await ada.ws.receive(timeout=10)
    assert closed.type is aiohttp.WSMsgType.CLOSE
    assert closed.data == aiohttp.WSCloseCode.MESSAGE_TOO_BIG


@pytest.mark.parametrize(
    ("path", "complaint"),
    [
        ("/ws/rooms/lobby", "?nick= is 1 to 32"),
        ("/ws/rooms/lobby?nick=%20", "?nick= is 1 to 32"),
        ("/ws/rooms/lobby?nick=%07", "?nick= is 1 to 32"),
        (f"/ws/rooms/lobby?nick={'x' * 33}", "?nick= is 1 to 32"),
        ("/ws/rooms/a%20b?nick=Ada", "a room's name is 1 to 32"),
        (f"/ws/rooms/{'x' * 33}?nick=Ada", "a room's name is 1 to 32"),
    ],
)
async def test_a_bad_name_is_refused_before_the_upgrade(
    chat: Chat, path: str, complaint: str
) -> None:
    status, text = await chat.get(path)
    assert status == 400
    assert complaint in text


async def test_a_room_may_have_letters_of_any_script(chat: Chat) -> None:
    async with chat.visitor("Zoë", "кухня") as zoe:
        assert (await zoe.hear("hello"))["members"] == ["Zoë"]


async def test_a_flood_slows_its_author_and_cuts_nobody_off(chat: Chat) -> None:
    async with chat.visitor("Ada", "flood") as ada, chat.visitor("Grace", "flood") as grace:
        start = time.monotonic()
        for number in range(150):  # more than may wait for one client, in one burst
            await ada.say(str(number))
        heard = [(await grace.hear("message"))["text"] for _ in range(150)]
        seconds = time.monotonic() - start
    assert heard == [str(number) for number in range(150)]
    assert seconds > 1  # 10 ms between two messages


async def test_a_client_that_does_not_read_is_cut_off(chat: Chat) -> None:
    async with chat.visitor("Grace", "slow") as grace, AsyncExitStack() as stack:
        with deaf_client(chat.port, "slow"):
            await grace.hear("joined")
            authors = [
                await stack.enter_async_context(chat.visitor(nick, "slow")) for nick in "abcd"
            ]
            flood = asyncio.gather(*(keep_talking(author) for author in authors))
            left = await grace.hear("left")
            flood.cancel()
    assert left["nick"] == "Deaf"


async def keep_talking(author: Visitor) -> None:
    """Say and hear again; what others say is heard on the way."""
    while True:
        await author.say(WIDE)
        await author.hear("message")


@contextmanager
def deaf_client(port: int, room: str) -> Iterator[None]:
    """A member of the room that never reads, with as small a buffer as the kernel allows."""
    head = (
        f"GET /ws/rooms/{room}?nick=Deaf HTTP/1.1\r\nHost: chat\r\nConnection: Upgrade\r\n"
        "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Key: {base64.b64encode(bytes(16)).decode()}\r\n\r\n"
    )
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        client.connect(("127.0.0.1", port))
        client.sendall(head.encode())
        yield


async def test_sigterm_says_goodbye_with_1001_and_ends_with_0() -> None:
    with running(NO_CONTROL) as chat:
        async with chat.visitor("Ada") as ada:
            await ada.hear("hello")
            chat.process.send_signal(signal.SIGTERM)
            closed = await ada.ws.receive(timeout=10)
        assert (closed.data, closed.extra) == (1001, "the chat is stopping")
        assert await asyncio.to_thread(chat.process.wait, 10) == 0


async def test_a_client_that_does_not_read_holds_up_the_end_only_briefly() -> None:
    with running(NO_CONTROL) as chat:
        async with chat.visitor("Grace") as grace:
            with deaf_client(chat.port, "lobby"):
                await grace.hear("joined")
                for _ in range(135):  # more than its sockets hold, less than cuts it off
                    await grace.say(WIDE)
                    await grace.hear("message")
                chat.process.send_signal(signal.SIGTERM)
                assert await asyncio.to_thread(chat.process.wait, 10) == 0


async def test_without_a_sidecar_there_is_none_to_show(chat: Chat) -> None:
    assert (await chat.get("/sidecar"))[0] == 404


async def test_what_the_sidecar_tells_is_passed_on_without_addresses(tmp_path: Path) -> None:
    control = tmp_path / "control.sock"
    tunnel = {"id": "c7f3", "route": "shop/chat", "rule": "rooms", "age": 12.3}
    ended = {"id": "b1d2", "reason": "idle", "closeCode": None}
    address = {"client": "192.0.2.1"}
    with running({**NO_CONTROL, "WSROUTE_CONTROL": str(control)}) as chat:
        assert (await chat.get("/sidecar"))[0] == 502
        view = {"connections": [tunnel | address], "ended": [ended | address]}
        async with sidecar_that_says(view, control):
            status, text = await chat.get("/sidecar")
    assert status == 200
    assert json.loads(text) == {"connections": [tunnel], "ended": [ended]}


@asynccontextmanager
async def sidecar_that_says(view: dict[str, Any], control: Path) -> AsyncIterator[None]:
    async def connections(_: web.Request) -> web.Response:
        return web.json_response(view)

    app = web.Application()
    app.router.add_get("/v1/connections", connections)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.UnixSite(runner, control).start()
        yield
    finally:
        await runner.cleanup()
