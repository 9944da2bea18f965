"""A chat: the page, a WebSocket for each room, and a health check, in one small server.

It would run just the same with no sidecar before it. Two things are there only to show one: the
page is told the id that the sidecar gave its tunnel (X-Request-Id), and /sidecar passes on what
the sidecar says of its tunnels (the control socket that WSROUTE_CONTROL names).

A client opens /ws/rooms/{room}?nick=NAME and sends {"text": "..."}. It is sent JSON objects:

    hello         tunnel, members, history; once, first
    message       id, nick, text, at (seconds since the epoch)
    joined, left  nick, members
    error         text: what was wrong with what it sent; the connection goes on

Every buffer has a bound: a frame, a message, a room's history, the number of empty rooms that are
remembered, and what waits for a client that reads slowly.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import secrets
import time
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

PAGE = Path(__file__).with_name("index.html")
ROOM_NAME = re.compile(r"[\w-]{1,32}")
NICK_LENGTH = 32  # characters
TEXT_LENGTH = 2_000  # characters
FRAME_SIZE = 32 * 1024  # bytes: TEXT_LENGTH characters fit, each as a JSON escape of 12 bytes
HISTORY = 50  # messages
ROOMS = 100
OUTBOX = 64  # events that wait for one client
PACE = 0.01  # seconds between two messages of one client
PATIENCE = 2.0  # seconds: for an answer to a Close frame, and for the sidecar's answer


class Member:
    """One client in a room, and the events that wait to be sent to it."""

    def __init__(self, nick: str, ws: web.WebSocketResponse, transport: asyncio.Transport) -> None:
        self.nick = nick
        self._ws = ws
        self._transport = transport
        self._outbox: asyncio.Queue[str] = asyncio.Queue(OUTBOX)

    def post(self, news: str) -> None:
        """Queue an event. A client that reads too slowly is cut off: its room never waits."""
        try:
            self._outbox.put_nowait(news)
        except asyncio.QueueFull:
            self._transport.abort()

    async def deliver(self) -> None:
        """Send what is queued until the connection is gone; the reading side notices that too."""
        with suppress(ConnectionError):
            while True:
                await self._ws.send_str(await self._outbox.get())

    async def dismiss(self) -> None:
        """Close with 1001, "going away" (RFC 6455, section 7.4.1); cut off who does not read."""
        try:
            async with asyncio.timeout(PATIENCE):
                await self._ws.close(
                    code=aiohttp.WSCloseCode.GOING_AWAY, message=b"the chat is stopping"
                )
        except TimeoutError:
            self._transport.abort()


class Room:
    """The members of a room and its latest messages."""

    def __init__(self) -> None:
        self.members: list[Member] = []
        self.history: deque[dict[str, object]] = deque(maxlen=HISTORY)

    def join(self, member: Member, tunnel: str | None) -> None:
        """Let a member in: a hello to itself, the news to the others."""
        nicks = [*self._nicks(), member.nick]
        self._tell(event("joined", nick=member.nick, members=nicks))
        self.members.append(member)
        member.post(event("hello", tunnel=tunnel, members=nicks, history=list(self.history)))

    def leave(self, member: Member) -> None:
        """Take a member out and tell those who stay."""
        self.members.remove(member)
        self._tell(event("left", nick=member.nick, members=self._nicks()))

    def say(self, member: Member, text: str) -> None:
        """Send a message to everyone, its author included, and remember it."""
        message = {"id": secrets.token_hex(8), "nick": member.nick, "text": text, "at": time.time()}
        self.history.append(message)
        self._tell(event("message", **message))

    def _tell(self, news: str) -> None:
        for member in self.members:
            member.post(news)

    def _nicks(self) -> list[str]:
        return [member.nick for member in self.members]


class Chat:
    """The rooms, and the handlers that lead into them."""

    def __init__(self, control: str | None) -> None:
        self._rooms: dict[str, Room] = {}
        self._control = control

    def application(self) -> web.Application:
        """The aiohttp application that serves this chat."""
        app = web.Application()
        app.router.add_get("/", self.page)
        app.router.add_get("/healthz", self.health)
        app.router.add_get("/sidecar", self.sidecar)
        app.router.add_get("/ws/rooms/{room}", self.connect)
        app.on_shutdown.append(self.close)
        return app

    async def page(self, _: web.Request) -> web.FileResponse:
        """The chat's page."""
        return web.FileResponse(PAGE)

    async def health(self, _: web.Request) -> web.Response:
        """Says that the server answers."""
        return web.Response(text="ok\n")

    async def connect(self, request: web.Request) -> web.WebSocketResponse:
        """A client's stay in a room, from the handshake to the Close."""
        room_name, nick = names(request)
        ws = web.WebSocketResponse(max_msg_size=FRAME_SIZE, timeout=PATIENCE)
        await ws.prepare(request)
        if request.transport is None:
            return ws
        member = Member(nick, ws, request.transport)
        room = self._room(room_name)
        room.join(member, request.headers.get("X-Request-Id"))
        delivery = asyncio.create_task(member.deliver())
        try:
            async for frame in ws:
                try:
                    room.say(member, spoken(frame))
                except ValueError as error:
                    member.post(event("error", text=str(error)))
                await asyncio.sleep(PACE)
        finally:
            room.leave(member)
            delivery.cancel()
        return ws

    async def sidecar(self, _: web.Request) -> web.Response:
        """The sidecar's tunnels, without the clients' addresses: visitors may see this page."""
        if self._control is None:
            raise web.HTTPNotFound(text="no sidecar to ask: WSROUTE_CONTROL is not set\n")
        try:
            view = await tunnels(self._control)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise web.HTTPBadGateway(text=f"the sidecar does not answer: {error}\n") from error
        for tunnel in view["connections"] + view["ended"]:
            tunnel.pop("client", None)
        return web.json_response(view)

    async def close(self, _: web.Application) -> None:
        """Send everyone away."""
        members = [member for room in self._rooms.values() for member in room.members]
        await asyncio.gather(*(member.dismiss() for member in members))

    def _room(self, name: str) -> Room:
        """The room of that name, now the latest used; the oldest empty ones beyond ROOMS go."""
        room = self._rooms.pop(name, None) or Room()
        empty = [other for other, its in self._rooms.items() if not its.members]
        for old in empty[: max(0, len(self._rooms) + 1 - ROOMS)]:
            del self._rooms[old]
        self._rooms[name] = room
        return room


def names(request: web.Request) -> tuple[str, str]:
    """The room and the nickname that a handshake asks for; HTTP 400 where one cannot be."""
    room, nick = request.match_info["room"], request.query.get("nick", "").strip()
    if not ROOM_NAME.fullmatch(room):
        raise web.HTTPBadRequest(text="a room's name is 1 to 32 letters, digits, '-' or '_'\n")
    if not nick.isprintable() or not 1 <= len(nick) <= NICK_LENGTH:
        raise web.HTTPBadRequest(text=f"?nick= is 1 to {NICK_LENGTH} printable characters\n")
    return room, nick


def spoken(frame: aiohttp.WSMessage) -> str:
    """The text that a frame says; ValueError tells its sender what is wrong with it."""
    try:
        said = json.loads(frame.data) if frame.type is aiohttp.WSMsgType.TEXT else None
    except (ValueError, RecursionError):
        said = None
    match said:
        case {"text": str(text)} if 0 < len(text.strip()) <= TEXT_LENGTH:
            return text.strip()
        case {"text": str(text)}:
            length = len(text.strip())
            raise ValueError(f"a message has 1 to {TEXT_LENGTH} characters; this one has {length}")
        case _:
            raise ValueError('send a text frame with JSON such as {"text": "hello"}')


def event(kind: str, **fields: object) -> str:
    """An event as it is sent: one JSON object."""
    return json.dumps({"type": kind, **fields})


async def tunnels(control: str) -> Any:
    """What the sidecar behind this socket says of its connections, open and lately ended."""
    connector, timeout = aiohttp.UnixConnector(control), aiohttp.ClientTimeout(PATIENCE)
    async with (
        aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
        session.get("http://localhost/v1/connections", raise_for_status=True) as answer,
    ):
        return await answer.json()


def main() -> None:
    """Serve until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(description="A chat to put behind the wsroute sidecar.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080)
    options = parser.parse_args()
    chat = Chat(os.environ.get("WSROUTE_CONTROL"))
    web.run_app(
        chat.application(),
        host=options.host,
        port=options.port,
        shutdown_timeout=PATIENCE,
        access_log=None,
    )


if __name__ == "__main__":
    main()
