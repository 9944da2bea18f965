"""The native relay engine: a thread of the crate in sidecar/relay has the sockets.

What is decided is decided here: the engine calls the backend, what it answers is judged, and on a
101 the client's connection goes over to the engine, too. From then on this module only hears of
pongs and of the end. A client whose connection is more than a socket (TLS, or an earlier response
that it has not read) stays with the portable engine.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ipaddress
import os
import socket
import time
from typing import TYPE_CHECKING, Final

from wsroute_sidecar._relay import SLOT_MASK, Relay, Tunnel
from wsroute_sidecar.dial import Caller, Client, Judge, Refused, Switching, dial_error
from wsroute_sidecar.handshake import Answer, BadAnswer, head_end
from wsroute_sidecar.relay import AsyncioEngine, AsyncioTunnel
from wsroute_sidecar.relay_types import Dial, End, Initiator, Limits, Owner, Reason

if TYPE_CHECKING:
    from wsroute_sidecar._relay import Event

_BATCH: Final = 64
"""Events that are handled before the event loop has its turn."""


class NativeEngine:
    """All tunnels of the process, on one thread that needs no interpreter."""

    name: Final = "native"

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop: Final = loop
        self._relay: Final = Relay()
        self._portable: Final = AsyncioEngine(loop)
        self.time: Final = time.monotonic  # as exact as the thread's clock, which uvloop's is not
        self._calls: Final[dict[int, asyncio.Future[tuple[bytes, int]]]] = {}
        self._owners: Final[list[Owner | None]] = []
        loop.add_reader(self._relay.fileno(), self._take_events)

    def close(self) -> None:
        """Cut what there is, and end the thread."""
        self._loop.remove_reader(self._relay.fileno())
        self._relay.close()

    async def open(
        self, client: Client, dial: Dial, judge: Judge, limits: Limits, owner: Owner
    ) -> Tunnel | AsyncioTunnel | Refused:
        """As `AsyncioEngine.open`."""
        if not (client.bare and _is_address(dial.host)):
            await client.settle()
            return await self._portable.open(client, dial, judge, limits, owner)
        try:
            token = self._relay.call(
                dial.host, dial.port, dial.head, dial.timeout, client.unwatched
            )
        except OSError as error:
            raise dial_error(dial, error) from error
        try:
            try:
                answer, received, fd = await self._answer(token, judge)
            except (OSError, BadAnswer) as error:
                raise dial_error(dial, error) from error
            if isinstance(answer, Switching):
                tunnel = self._adopt(token, client, answer.head, received, limits)
                self._own(token, owner)
                return tunnel
            await client.settle()
            refused = await self._refused(fd, received)
        except BaseException:
            self._relay.cancel(token)
            raise
        self._relay.cancel(token)
        return refused

    async def _answer(self, token: int, judge: Judge) -> tuple[Switching | Answer, bytes, int]:
        """The final answer; what belongs to it or to the tunnel; and the connection."""
        try:
            while True:
                self._calls[token] = waiter = self._loop.create_future()
                received, fd = await waiter
                head = received[: head_end(received)]
                answer = judge(head)
                if isinstance(answer, Switching):
                    return answer, received[len(head) :], fd
                if answer.status >= 200:
                    return answer, received, fd
                self._relay.resume(token, received[len(head) :])  # that was an interim response
        finally:
            self._calls.pop(token, None)

    def _adopt(
        self, token: int, client: Client, head: bytes, early: bytes, limits: Limits
    ) -> Tunnel:
        fd, sent = client.take_socket()
        return self._relay.adopt(token, fd, head, (sent, early), limits)

    def _own(self, token: int, owner: Owner) -> None:
        slot = token & SLOT_MASK
        missing = slot + 1 - len(self._owners)
        self._owners.extend([None] * missing)
        self._owners[slot] = owner

    async def _refused(self, fd: int, received: bytes) -> Refused:
        """An ordinary response goes on as a connection of the event loop's."""
        with contextlib.ExitStack() as undo:
            duplicate = undo.enter_context(socket.socket(fileno=os.dup(fd)))
            transport, caller = await self._loop.connect_accepted_socket(
                lambda: Caller(self._loop), duplicate
            )
            undo.pop_all()
        transport.pause_reading()
        return Refused(transport, received + caller.buffer)

    def _take_events(self) -> None:
        for event in self._relay.events(_BATCH):
            try:
                self._tell(event)
            except Exception as error:  # noqa: BLE001 - the next one is for somebody else
                self._loop.call_exception_handler({"message": "in an owner", "exception": error})

    def _tell(self, event: Event) -> None:
        match event:
            case ("answered", token, received, fd):
                if (waiter := self._calls.pop(token, None)) and not waiter.done():
                    waiter.set_result((received, fd))
            case ("ponged", token, side, seconds):
                if owner := self._owners[token & SLOT_MASK]:
                    owner.ponged(Initiator(side), seconds)
            case ("ended", token, reason, initiator, code, detail):
                slot = token & SLOT_MASK
                owner, self._owners[slot] = self._owners[slot], None
                if owner:
                    owner.ended(End(Reason(reason), Initiator(initiator), code, detail))
            case (failure, token, number):
                if (waiter := self._calls.pop(token, None)) and not waiter.done():
                    waiter.set_exception(_failed(failure, number))


def _failed(failure: str, number: int) -> OSError | BadAnswer | asyncio.CancelledError:
    match failure:
        case "left":
            return asyncio.CancelledError()  # as when a transport loses its client
        case "late":
            return TimeoutError()
        case "closed":
            return BadAnswer("it closed the connection without an answer")
        case _:
            return OSError(number, os.strerror(number))


@functools.cache
def _is_address(host: str) -> bool:
    """Whether `host` needs no resolver, which is the event loop's."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
