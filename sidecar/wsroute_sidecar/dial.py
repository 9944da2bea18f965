"""Calling the backend for a tunnel: connect, send the head, read the answer's head."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple, Protocol, cast

from wsroute_sidecar.handshake import Answer, BadAnswer, head_end
from wsroute_sidecar.reading import Reader
from wsroute_sidecar.relay_types import Dial, DialError


class Client(Protocol):
    """The client's side, while it waits for the answer."""

    @property
    def bare(self) -> bool:
        """Whether it is a socket and nothing more: no TLS, nothing left to be written."""

    def take(self) -> tuple[asyncio.Transport, bytes]:
        """Its transport, and what the client has sent early: from now on the engine's."""

    def take_socket(self) -> tuple[int, bytes]:
        """As `take`, for one that is bare: a descriptor, which is whose who asks."""


class Bare(NamedTuple):
    """The client's side as a descriptor, which is the engine's to watch and to close."""

    fd: int
    early: bytes
    """What has come behind the request."""


class Switching(NamedTuple):
    """The answer opens the tunnel."""

    head: bytes
    """What the client gets."""
    subprotocol: str


class Called(NamedTuple):
    """The backend has switched protocols."""

    answer: Switching
    transport: asyncio.Transport
    """Paused: nothing is read until a protocol has taken over."""
    early: bytes
    """Frames that came with the answer."""


class Refused(NamedTuple):
    """The backend has answered with an ordinary response, whose body is still to be read."""

    transport: asyncio.Transport
    """Paused, as in Called."""
    early: bytes
    """The answer's head, and what came with it."""


TurnedDown = Callable[[int | None, Callable[[], Awaitable[Refused]]], None]
"""No tunnel came of a client: its descriptor is whose is called, who is to ask for what came.

Where the client has left there is neither.
"""


class Judge(Protocol):
    """Knows what a response head means."""

    @property
    def accept(self) -> bytes | None:
        """The Sec-WebSocket-Accept of a 101 that need not be judged here, if there is any such.

        It opens the tunnel where nothing else is special about it, and the client gets it as
        `headers.switching` writes it.
        """

    def __call__(self, raw: bytes) -> Switching | Answer:
        """What `raw` means; raises BadAnswer where it means nothing."""


class Caller(Reader):
    """Collects a response head, and stops to read after each piece: frames may follow it."""

    transport: asyncio.Transport

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop: Final = loop
        self._waiter: asyncio.Future[None] | None = None
        self._lost = False
        self.buffer = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass of it

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        self.transport.pause_reading()
        self._wake()

    def eof_received(self) -> None:
        self._lost = True
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def head(self) -> bytes:
        """The next response head, left in the buffer."""
        while not (end := head_end(self.buffer)):
            if self._lost:
                raise BadAnswer("it closed the connection without an answer")
            self._waiter = self._loop.create_future()
            if not self.transport.is_closing():
                self.transport.resume_reading()
            await self._waiter
        return bytes(self.buffer[:end])


async def call(loop: asyncio.AbstractEventLoop, dial: Dial, judge: Judge) -> Called | Refused:
    """Connect, send, and wait for an answer that is final; DialError where none comes in time."""
    try:
        async with asyncio.timeout(dial.timeout):
            _, caller = await loop.create_connection(lambda: Caller(loop), dial.host, dial.port)
            try:
                return await _converse(caller, dial, judge)
            except BaseException:
                caller.transport.abort()
                raise
    except (OSError, BadAnswer) as error:
        raise dial_error(dial, error) from error


def dial_error(dial: Dial, error: OSError | BadAnswer) -> DialError:
    """What the client is told of `error`; TimeoutError is for a backend that is too slow."""
    if isinstance(error, TimeoutError):
        why = f"the backend did not answer within {dial.timeout:g} s"
        return DialError(504, "backend_timeout", why)
    if isinstance(error, BadAnswer):
        why = f"the backend's answer is not acceptable: {error}"
        return DialError(502, "backend_answer", why)
    why = f"the backend on port {dial.port} refused: {error}"
    return DialError(502, "backend_unreachable", why)


async def _converse(caller: Caller, dial: Dial, judge: Judge) -> Called | Refused:
    caller.transport.write(dial.head)
    while True:
        head = await caller.head()
        answer = judge(head)
        if isinstance(answer, Answer) and answer.status < 200:
            del caller.buffer[: len(head)]  # an interim response
            continue
        if isinstance(answer, Answer):
            return Refused(caller.transport, bytes(caller.buffer))
        return Called(answer, caller.transport, bytes(caller.buffer[len(head) :]))
