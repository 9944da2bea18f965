"""Many clients on raw sockets: cheap enough for thousands of tunnels in a test's own process.

Each message carries its tunnel and its number, and each echo is compared with what was sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import socket
import ssl
from collections import deque
from collections.abc import AsyncIterator, Sequence
from typing import Final, NamedTuple

from tests.support.frames import BINARY, CLOSE, CONTROL, PING, Frames, frame
from tests.support.waiting import eventually

FULL: Final = os.environ.get("WSROUTE_LOAD") == "full"
"""Whether the numbers are those that are promised, and not what a test has time for."""

LIMIT: Final = 30.0
"""Seconds for anything that is awaited."""

SIZES: Final = (8, 125, 126, 1000)
_PARALLEL: Final = 64
_BODY: Final = bytes(index % 251 for index in range(max(SIZES)))
_numbers: Final = itertools.count(1)


class Ending(NamedTuple):
    """How the server's side ended a tunnel."""

    code: int | None
    """Of its Close; None without one."""
    reason: str
    at: float
    """Time of the event loop."""


class Tunnel(asyncio.Protocol):
    """One client.

    Attributes:
        opened: Time of the 101.
        echoes: Messages that came back as they were sent.
        faults: What came back otherwise.
        ending: Set with the server's Close, or with the end of the connection.
        deaf: Whether it answers no Close, and stays when the server's side has ended.
    """

    transport: asyncio.Transport

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.time: Final = loop.time
        self.answer: Final[asyncio.Future[bytes]] = loop.create_future()
        self.gone: Final = asyncio.Event()
        self.opened = 0.0
        self.echoes = 0
        self.faults: Final[list[str]] = []
        self.ending: Ending | None = None
        self.deaf = False
        self.number: Final = next(_numbers)
        self._sent = 0
        self._expected: Final[deque[bytes]] = deque()
        self._head = b""
        self._frames: Final = Frames()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.answer.done():
            self.answer.set_result(self._head)
        if self.ending is None:
            self.ending = Ending(None, repr(exc) if exc else "", self.time())
        self.gone.set()

    def eof_received(self) -> bool:
        return self.deaf

    def data_received(self, data: bytes) -> None:
        if not self.answer.done():
            self._head += data
            head, end, data = self._head.partition(b"\r\n\r\n")
            if not end:
                return
            self.opened = self.time()
            self.answer.set_result(head)
        if self.open:
            for opcode, payload in self._frames.feed(data):
                self._take(opcode, payload)

    def _take(self, opcode: int, payload: bytes) -> None:
        if opcode == PING:
            self.transport.write(frame(PING + 1, payload, mask=True))
        elif opcode == CLOSE:
            code = int.from_bytes(payload[:2]) if payload else None
            self.ending = Ending(code, payload[2:].decode(), self.time())
            if not self.deaf:
                self.transport.write(frame(CLOSE, payload, mask=True))
        elif opcode < CONTROL:
            expected = self._expected.popleft() if self._expected else None
            if (opcode, payload) == (BINARY, expected):
                self.echoes += 1
            else:
                self.faults.append(f"tunnel {self.number}: {payload[:16]!r}, not {expected!r:.20}")

    @property
    def status(self) -> int:
        """Status of the answer; 0 where none came."""
        head = self.answer.result() if self.answer.done() else b""
        return int(head.split(b" ", 2)[1]) if head else 0

    @property
    def open(self) -> bool:
        """Whether it is a tunnel."""
        return self.status == 101

    @property
    def live(self) -> bool:
        """Whether messages may be sent."""
        return self.open and self.ending is None

    @property
    def settled(self) -> bool:
        """Whether all that was sent has come back, or never will."""
        return not (self.live and self._expected)

    def send(self) -> None:
        """Send the next message."""
        self._sent += 1
        payload = self.number.to_bytes(4) + self._sent.to_bytes(4)
        payload += _BODY[8 : SIZES[self._sent % len(SIZES)]]
        self._expected.append(payload)
        self.transport.write(frame(BINARY, payload, mask=True))

    async def exchange(self) -> None:
        """Send a message and await its echo."""
        echoes = self.echoes
        self.send()
        await eventually(lambda: self.echoes > echoes or self.ending is not None)
        assert self.echoes > echoes, self.ending or self.faults

    def leave(self) -> None:
        """Vanish."""
        self.transport.abort()


def request(host: str) -> bytes:
    """An upgrade request."""
    return (
        f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    ).encode()


async def call(
    port: int,
    *,
    host: str = "app.test",
    sock: socket.socket | None = None,
    tls: ssl.SSLContext | None = None,
) -> Tunnel:
    """Connect and ask for a tunnel; the answer may be any."""
    loop = asyncio.get_running_loop()
    connected, sock = sock is not None, sock or socket.socket()
    name = "localhost" if tls else None
    try:
        if not connected:
            sock.setblocking(False)
            await loop.sock_connect(sock, ("127.0.0.1", port))
        _, tunnel = await loop.create_connection(Tunnel, sock=sock, ssl=tls, server_hostname=name)
    except BaseException:
        sock.close()  # who is cancelled here has no other hold of it
        raise
    tunnel.transport.write(request(host))
    try:
        async with asyncio.timeout(LIMIT):
            await asyncio.shield(tunnel.answer)
    except BaseException:
        tunnel.leave()
        raise
    return tunnel


async def call_many(
    port: int, count: int, *, host: str = "app.test", tls: ssl.SSLContext | None = None
) -> list[Tunnel]:
    """`count` calls, so many at a time."""
    places = asyncio.Semaphore(_PARALLEL)

    async def one() -> Tunnel:
        async with places:
            return await call(port, host=host, tls=tls)

    return list(await asyncio.gather(*(one() for _ in range(count))))


@contextlib.asynccontextmanager
async def fleet(
    port: int, count: int, *, host: str = "app.test", tls: ssl.SSLContext | None = None
) -> AsyncIterator[list[Tunnel]]:
    """`count` open tunnels."""
    tunnels = await call_many(port, count, host=host, tls=tls)
    try:
        assert {tunnel.status for tunnel in tunnels} == {101}
        yield tunnels
    finally:
        await leave(tunnels)


async def leave(tunnels: Sequence[Tunnel]) -> None:
    """Let all vanish."""
    for tunnel in tunnels:
        tunnel.leave()
    for tunnel in tunnels:
        await tunnel.gone.wait()


@contextlib.asynccontextmanager
async def traffic(tunnels: Sequence[Tunnel], rate: float) -> AsyncIterator[None]:
    """`rate` messages a second in all, round robin, until all that may come back has come back."""

    async def send() -> None:
        begun = asyncio.get_running_loop().time()
        sent = 0
        turns = itertools.cycle(tunnels)
        while True:
            await asyncio.sleep(0.01)
            due = int((asyncio.get_running_loop().time() - begun) * rate)
            for tunnel in itertools.islice(turns, due - sent):
                if tunnel.live:
                    tunnel.send()
            sent = due

    sending = asyncio.create_task(send())
    try:
        yield
    finally:
        sending.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await sending
        await eventually(lambda: all(tunnel.settled for tunnel in tunnels))


def faults(tunnels: Sequence[Tunnel]) -> list[str]:
    """All that is wrong with what came back."""
    return [fault for tunnel in tunnels for fault in tunnel.faults]


def endings(tunnels: Sequence[Tunnel]) -> list[Ending]:
    """How those tunnels ended that have."""
    return [tunnel.ending for tunnel in tunnels if tunnel.ending is not None]
