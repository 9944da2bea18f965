"""One tunnel of a relay engine between two raw sockets: the tests' view of any engine."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final, NamedTuple

from tests.support.wire import LIMIT, Wire
from wsroute_sidecar import dial as dialling
from wsroute_sidecar import relay_types
from wsroute_sidecar.dial import Bare, Client, Refused, Switching
from wsroute_sidecar.engines import BareEngine, Engine
from wsroute_sidecar.handshake import Answer, parse_head
from wsroute_sidecar.relay_types import Dial, End, Initiator, Limits, Tunnel

REQUEST: Final = b"GET / HTTP/1.1\r\n\r\n"
ACCEPT: Final = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
SWITCHING: Final = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: " + ACCEPT + b"\r\n\r\n"
)
NO_LIMITS: Final = Limits()


class Judge(NamedTuple):
    """Every 101 opens the tunnel, with the head that the backend sent."""

    accept: bytes | None = ACCEPT

    def __call__(self, raw: bytes) -> Switching | Answer:
        answer = parse_head(raw)
        return Switching(raw, "judged") if answer.status == 101 else answer


judge: Final = Judge()


class Accepted:
    """The client's side as an engine is given it: a socket, and when it is settled a transport."""

    bare = True

    def __init__(self, sock: socket.socket, early: bytes = b"") -> None:
        self.sock: socket.socket | None = sock
        self.early: Final = early
        self.transport: Any = None

    def leave(self) -> None:
        """Close what is its own."""
        if self.sock is not None:
            self.sock.close()
        elif self.transport is not None:
            self.transport.abort()

    async def settle(self) -> None:
        sock, self.sock = self.sock, None
        if sock is not None:
            loop = asyncio.get_running_loop()
            self.transport, _ = await loop.connect_accepted_socket(asyncio.Protocol, sock)

    def take(self) -> tuple[asyncio.Transport, bytes]:
        return self.transport, self.early

    def take_socket(self) -> tuple[int, bytes]:
        fd = os.dup(self.transport.get_extra_info("socket").fileno())
        self.transport.abort()
        return fd, self.early


class Begun:
    """A call for a client who is a descriptor, and what has come of it; `owner` is told, too."""

    def __init__(
        self,
        engine: BareEngine,
        client: Accepted,
        dial: Dial,
        judge: dialling.Judge,
        limits: Limits,
        *,
        owner: relay_types.Owner,
    ) -> None:
        self._client: Final = client
        self._owner: Final = owner
        self._came: asyncio.Future[Callable[[], Awaitable[Refused]] | None]
        self._came = asyncio.get_running_loop().create_future()
        assert client.sock is not None
        fd, client.sock = client.sock.detach(), None
        self.left = True
        """Whether the client has left, when no tunnel came of it."""
        bare = Bare(fd, client.early)
        engine.begin(bare, dial, judge, limits, self, turned_down=self._turned_down)

    def _turned_down(self, fd: int | None, came: Callable[[], Awaitable[Refused]]) -> None:
        self.left = fd is None
        if fd is not None:
            self._client.sock = socket.socket(fileno=fd)
        self._came.set_result(came)

    def opened(self, tunnel: Tunnel, subprotocol: str) -> None:
        self._owner.opened(tunnel, subprotocol)
        self._came.set_result(None)

    def ended(self, end: End) -> None:
        self._owner.ended(end)

    def ponged(self, side: Initiator, seconds: float) -> None:
        self._owner.ponged(side, seconds)

    async def came(self) -> Refused | None:
        """As an engine's `open`."""
        async with asyncio.timeout(LIMIT):
            came = await asyncio.shield(self._came)
            return None if came is None else await came()


class Waited(NamedTuple):
    """An engine as these tests use it: somebody waits for each call."""

    engine: Engine
    begun: bool = False
    """Whether clients are descriptors for the engine, where they can be."""

    @property
    def name(self) -> str:
        return self.engine.name

    def time(self) -> float:
        return self.engine.time()

    async def open(
        self,
        client: Client,
        dial: Dial,
        judge: dialling.Judge,
        limits: Limits,
        owner: relay_types.Owner,
    ) -> Refused | None:
        bare = self.engine.bare
        if self.begun and bare and client.bare and isinstance(client, Accepted) and client.sock:
            return await Begun(bare, client, dial, judge, limits, owner=owner).came()
        if isinstance(client, Accepted):
            await client.settle()
        return await self.engine.open(client, dial, judge, limits, owner)


class Owner:
    """Who is told what becomes of a tunnel."""

    def __init__(self) -> None:
        self._end: Final[asyncio.Future[End]] = asyncio.get_running_loop().create_future()
        self.pongs: Final[list[tuple[Initiator, float]]] = []
        self.tunnel: Tunnel
        self.subprotocol: str | None = None

    def opened(self, tunnel: Tunnel, subprotocol: str) -> None:
        assert self.subprotocol is None
        assert not self.told
        self.tunnel, self.subprotocol = tunnel, subprotocol

    def ended(self, end: End) -> None:
        self._end.set_result(end)

    def ponged(self, side: Initiator, seconds: float) -> None:
        self.pongs.append((side, seconds))

    @property
    def told(self) -> bool:
        return self._end.done()

    async def end(self) -> End:
        async with asyncio.timeout(LIMIT):
            return await asyncio.shield(self._end)


class Rig(NamedTuple):
    """A tunnel, what is at both of its ends, and how it ended."""

    client: Wire
    backend: Wire
    tunnel: Tunnel
    owner: Owner


def client_pair(buffer: int | None = None, early: bytes = b"") -> tuple[Wire, Accepted]:
    """A client, and its connection; `buffer` bytes fit in between."""
    with listening(buffer) as listener:
        sock = socket.socket()
        _shrink(sock, buffer)
        sock.connect(listener.getsockname())
        listener.setblocking(True)
        accepted, _ = listener.accept()
    accepted.setblocking(False)
    return Wire(sock), Accepted(accepted, early)


@contextmanager
def listening(buffer: int | None = None) -> Iterator[socket.socket]:
    """A listener, whose connections have no more than `buffer` bytes of room."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        _shrink(listener, buffer)
        listener.setblocking(False)
        yield listener


def _shrink(sock: socket.socket, buffer: int | None) -> None:
    if buffer is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)


async def answer(listener: socket.socket, reply: bytes) -> Wire:
    """Take one connection, read the request's head, and reply."""
    sock, _ = await asyncio.get_running_loop().sock_accept(listener)
    wire = Wire(sock)
    assert await wire.until(b"\r\n\r\n") == REQUEST
    await wire.send(reply)
    return wire


def dial(listener: socket.socket, timeout: float | None = LIMIT) -> Dial:
    """Where the backend is, and REQUEST."""
    host, port = listener.getsockname()
    return Dial(host, port, REQUEST, timeout)


@asynccontextmanager
async def tunnel(
    engine: Waited,
    limits: Limits = NO_LIMITS,
    *,
    early: bytes = b"",
    with_answer: bytes = b"",
    paused: bool = False,
    buffer: int | None = None,
) -> AsyncIterator[Rig]:
    """An open tunnel; the client has read its 101.

    Args:
        engine: The engine.
        limits: The tunnel's limits.
        early: What the client sends before the 101.
        with_answer: What the backend sends together with its 101.
        paused: Whether the client's connection is not being read when the engine gets it.
        buffer: Bytes for which the kernel has room, about.
    """
    owner = Owner()
    client, accepted = client_pair(buffer, early)
    if paused:
        await accepted.settle()
        accepted.transport.pause_reading()
    with listening(buffer) as listener:
        answering = asyncio.create_task(answer(listener, SWITCHING + with_answer))
        refused = await engine.open(accepted, dial(listener), judge, limits, owner)
        backend = await answering
    assert refused is None
    try:
        assert await client.read(len(SWITCHING)) == SWITCHING
        yield Rig(client, backend, owner.tunnel, owner)
    finally:
        client.leave()
        backend.leave()
        await owner.end()
