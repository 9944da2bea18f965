"""The native relay engine: a thread of the crate in sidecar/relay has the sockets.

The engine calls the backend. A plain 101 opens the tunnel at once, of which this module then hears;
any other answer is judged here, and on a 101 the client's connection goes over to the engine, too.
From then on there are only pongs and the end to hear of. A client whose connection is more than a
socket (TLS, or an earlier response that it has not read) stays with the portable engine.
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
from wsroute_sidecar.relay import AsyncioEngine
from wsroute_sidecar.relay_types import Dial, DialError, End, Initiator, Limits, Owner, Reason

if TYPE_CHECKING:
    from wsroute_sidecar._relay import Event

_BATCH: Final = 64
"""Events that are handled before the event loop has its turn."""


class _Call:
    """A call that has not come to a tunnel yet."""

    __slots__ = ("client", "lent", "owner", "waiter")

    waiter: asyncio.Future[tuple[bytes, int] | None]
    """For an answer that is to be judged, and its connection; None for one that was judged."""

    def __init__(self, client: Client, owner: Owner) -> None:
        self.client: Final = client
        self.lent: Final = client.lend()
        self.owner: Final = owner

    def give_back(self) -> None:
        """Let the client have another answer than a tunnel; the engine closes what it has."""
        if self.lent is not None:
            self.client.take_back(os.dup(self.lent[0]))

    def take(self) -> tuple[int | None, bytes]:
        """The client's descriptor, unless the engine has it, and what has come early."""
        if self.lent is None:
            return self.client.take_socket()
        self.client.let_go()
        return None, self.lent[1]


class NativeEngine:
    """All tunnels of the process, on one thread that needs no interpreter."""

    name: Final = "native"

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop: Final = loop
        self._relay: Final = Relay()
        self._portable: Final = AsyncioEngine(loop)
        self.time: Final = time.monotonic  # as exact as the thread's clock, which uvloop's is not
        self._calls: Final[dict[int, _Call]] = {}
        self._owners: Final[list[Owner | None]] = []
        loop.add_reader(self._relay.fileno(), self._take_events)

    def close(self) -> None:
        """Cut what there is, and end the thread."""
        self._loop.remove_reader(self._relay.fileno())
        self._relay.close()

    async def open(
        self, client: Client, dial: Dial, judge: Judge, limits: Limits, owner: Owner
    ) -> Refused | None:
        """As `AsyncioEngine.open`."""
        if not (client.bare and _is_address(dial.host)):
            return await self._portable.open(client, dial, judge, limits, owner)
        call = _Call(client, owner)
        token = self._call(call, dial, judge.accept, limits)
        try:
            answered = await self._answer(token, call, dial, judge)
            if answered is None:
                client.let_go()
                return None
            answer, received, fd = answered
            if isinstance(answer, Switching):
                client_fd, early = call.take()
                both = (early, received)
                tunnel = self._relay.adopt(token, client_fd, answer.head, both, limits)
                self._opened(token, tunnel, answer.subprotocol)
                return None
            call.give_back()
            await client.settle()
            return await self._refused(fd, received)
        except DialError:
            call.give_back()
            raise
        finally:
            if self._calls.pop(token, None):  # it has opened no tunnel
                self._relay.cancel(token)

    def _call(self, call: _Call, dial: Dial, accept: bytes | None, limits: Limits) -> int:
        fd, terms = None, None
        if call.lent is not None:
            fd, early = call.lent
            terms = None if accept is None else (accept, early, limits)
        try:
            token = self._relay.call(dial.host, dial.port, dial.head, dial.timeout, fd, terms)
        except OSError as error:
            if fd is not None:
                call.client.take_back(fd)
            raise dial_error(dial, error) from error
        self._calls[token] = call
        missing = (token & SLOT_MASK) + 1 - len(self._owners)
        self._owners.extend([None] * missing)
        return token

    async def _answer(
        self, token: int, call: _Call, dial: Dial, judge: Judge
    ) -> tuple[Switching | Answer, bytes, int] | None:
        """The final answer; what belongs to it or to the tunnel; and the connection.

        None where the tunnel is open already.
        """
        try:
            while True:
                call.waiter = self._loop.create_future()
                if (answered := await call.waiter) is None:
                    return None
                received, fd = answered
                head = received[: head_end(received)]
                answer = judge(head)
                if isinstance(answer, Switching):
                    return answer, received[len(head) :], fd
                if answer.status >= 200:
                    return answer, received, fd
                self._relay.resume(token, received[len(head) :])  # that was an interim response
        except (OSError, BadAnswer) as error:
            raise dial_error(dial, error) from error

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
            case ("ponged", token, side, seconds):
                if owner := self._owners[token & SLOT_MASK]:
                    owner.ponged(Initiator(side), seconds)
            case ("ended", token, reason, initiator, code, detail):
                slot = token & SLOT_MASK
                owner, self._owners[slot] = self._owners[slot], None
                if owner:
                    owner.ended(End(Reason(reason), Initiator(initiator), code, detail))
            case _:
                self._tell_caller(event)

    def _tell_caller(self, event: Event) -> None:
        call = self._calls.get(event[1])
        if call is None or call.waiter.done():
            return
        match event:
            case ("opened", token, tunnel, subprotocol):
                call.waiter.set_result(None)
                self._opened(token, tunnel, subprotocol)
            case ("answered", _, received, fd):
                call.waiter.set_result((received, fd))
            case (failure, _, number):
                call.waiter.set_exception(_failed(failure, number))

    def _opened(self, token: int, tunnel: Tunnel, subprotocol: str) -> None:
        """From now on the tunnel is its owner's, whatever becomes of who has waited for it."""
        owner = self._calls.pop(token).owner
        self._owners[token & SLOT_MASK] = owner
        owner.opened(tunnel, subprotocol)


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
    """Whether `host` needs no resolver, which is the event loop's: a zone's name does, too."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return "%" not in host
