"""The native relay engine: a thread of the crate in sidecar/relay has the sockets.

The engine calls the backend. A plain 101 opens the tunnel at once, of which this module then hears,
where the engine has the client's connection, too; any other answer is judged here, and on a 101 the
client's connection goes over to the engine. From then on there are only pongs and the end to hear
of. A client whose connection is more than a socket (TLS, or an earlier response that it has not
read) stays with the portable engine.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ipaddress
import os
import socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

from wsroute_api import log
from wsroute_sidecar._relay import SLOT_MASK, Relay, Tunnel
from wsroute_sidecar.dial import (
    Bare,
    Caller,
    Client,
    Judge,
    Refused,
    Switching,
    TurnedDown,
    dial_error,
)
from wsroute_sidecar.handshake import BadAnswer, head_end
from wsroute_sidecar.relay import AsyncioEngine
from wsroute_sidecar.relay_types import Dial, End, Initiator, Limits, Owner, Reason

if TYPE_CHECKING:
    from wsroute_sidecar._relay import Event

_BATCH: Final = 64
"""Events that are handled before the event loop has its turn."""

_REASONS: Final = {reason.value: reason for reason in Reason}
_INITIATORS: Final = {initiator.value: initiator for initiator in Initiator}

_Why = Exception | tuple[bytes, int]
"""Why there is no tunnel; an ordinary response is what has come of it, and its connection."""


class _Call(NamedTuple):
    """A call that has not come to a tunnel yet."""

    dial: Dial
    judge: Judge
    limits: Limits
    owner: Owner
    take: Callable[[], tuple[int | None, bytes]]
    """The client's descriptor, unless the engine has it, and what has come early."""
    over: Callable[[int, _Why | None], None]
    """There is a tunnel of the token, or why there is none."""


class NativeEngine:
    """All tunnels of the process, on one thread that needs no interpreter."""

    name: Final = "native"

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop: Final = loop
        self._relay: Final = Relay()
        self._portable: Final = AsyncioEngine(loop)
        self.time: Final = time.monotonic  # as exact as the thread's clock, which uvloop's is not
        self.bare: Final = self
        self.calling = 0
        self._calls: Final[dict[int, _Call]] = {}
        self._owners: Final[list[Owner | None]] = []
        loop.add_reader(self._relay.fileno(), self._take_events)

    def close(self) -> None:
        """Cut what there is, and end the thread."""
        self._loop.remove_reader(self._relay.fileno())
        self._relay.close()

    def takes(self, host: str) -> bool:
        """As `engines.BareEngine` has it."""
        return _is_address(host)

    async def open(
        self, client: Client, dial: Dial, judge: Judge, limits: Limits, owner: Owner
    ) -> Refused | None:
        """As `AsyncioEngine.open`."""
        if not (client.bare and _is_address(dial.host)):
            return await self._portable.open(client, dial, judge, limits, owner)
        waiter: asyncio.Future[_Why | None] = self._loop.create_future()

        def over(_: int, why: _Why | None) -> None:
            if not waiter.done():
                waiter.set_result(why)

        call = _Call(dial, judge, limits, owner, client.take_socket, over)
        try:
            token = self._call(call)
        except OSError as error:
            raise dial_error(dial, error) from error
        try:
            why = await waiter
            return None if why is None else await self._concluded(token, why)
        finally:
            self._give_up(token)

    def begin(
        self,
        client: Bare,
        dial: Dial,
        judge: Judge,
        limits: Limits,
        owner: Owner,
        *,
        turned_down: TurnedDown,
    ) -> None:
        """As `engines.BareEngine` has it."""

        def over(token: int, why: _Why | None) -> None:
            self.calling -= 1
            if why is not None:
                self._turn_down(token, fd, why, turned_down)

        fd, early = client
        call = _Call(dial, judge, limits, owner, lambda: (None, early), over)
        accept = judge.accept
        terms = None if accept is None else (accept, early, limits)
        try:
            self._call(call, fd, terms)
        except OSError as error:
            turned_down(fd, functools.partial(self._concluded, 0, dial_error(dial, error)))
        else:
            self.calling += 1

    def _call(
        self, call: _Call, fd: int | None = None, terms: tuple[bytes, bytes, Limits] | None = None
    ) -> int:
        dial = call.dial
        token = self._relay.call(dial.host, dial.port, dial.head, dial.timeout, fd, terms)
        self._calls[token] = call
        missing = (token & SLOT_MASK) + 1 - len(self._owners)
        if missing > 0:
            self._owners.extend([None] * missing)
        return token

    def _give_up(self, token: int) -> None:
        """Close the connections of a call, unless they are a tunnel's."""
        if self._calls.pop(token, None):
            self._relay.cancel(token)

    def _turn_down(self, token: int, fd: int, why: _Why, turned_down: TurnedDown) -> None:
        left: int | None = None
        if not isinstance(why, ConnectionResetError):
            with contextlib.suppress(OSError):  # where no more can be opened, it is closed
                left = os.dup(fd)  # the engine closes its own
        if left is None:
            self._give_up(token)
        turned_down(left, functools.partial(self._concluded, token, why))

    async def _concluded(self, token: int, why: _Why) -> Refused:
        try:
            if isinstance(why, Exception):
                raise why
            return await self._refused(*why)
        finally:
            self._give_up(token)

    async def _refused(self, received: bytes, fd: int) -> Refused:
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
        with log.together():
            for event in self._relay.events(_BATCH):
                try:
                    self._tell(event)
                except Exception as error:  # noqa: BLE001 - the next one is for somebody else
                    context = {"message": "in an owner", "exception": error}
                    self._loop.call_exception_handler(context)

    def _tell(self, event: Event) -> None:
        match event:
            case ("ponged", token, side, seconds):
                if owner := self._owners[token & SLOT_MASK]:
                    owner.ponged(_INITIATORS[side], seconds)
            case ("ended", token, reason, initiator, code, detail):
                slot = token & SLOT_MASK
                owner, self._owners[slot] = self._owners[slot], None
                if owner:
                    owner.ended(End(_REASONS[reason], _INITIATORS[initiator], code, detail))
            case _:
                self._tell_caller(event)

    def _tell_caller(self, event: Event) -> None:
        call = self._calls.get(event[1])
        if call is None:
            return
        match event:
            case ("opened", token, tunnel, subprotocol):
                self._opened(token, call, tunnel, subprotocol)
            case ("answered", token, received, fd):
                try:
                    self._answered(token, call, received, fd)
                except BadAnswer as error:
                    call.over(token, dial_error(call.dial, error))
                except Exception as error:  # noqa: BLE001 - somebody waits, or is to be answered
                    call.over(token, error)
            case (failure, token, number):
                call.over(token, _failed(call.dial, failure, number))

    def _answered(self, token: int, call: _Call, received: bytes, fd: int) -> None:
        """Judge the answer: it opens the tunnel, or is the final one, or another one follows."""
        head = received[: head_end(received)]
        answer = call.judge(head)
        if isinstance(answer, Switching):
            client_fd, early = call.take()
            both = (early, received[len(head) :])
            tunnel = self._relay.adopt(token, client_fd, answer.head, both, call.limits)
            self._opened(token, call, tunnel, answer.subprotocol)
        elif answer.status >= 200:
            call.over(token, (received, fd))
        else:
            self._relay.resume(token, received[len(head) :])

    def _opened(self, token: int, call: _Call, tunnel: Tunnel, subprotocol: str) -> None:
        """From now on the tunnel is its owner's, whatever becomes of who has waited for it."""
        del self._calls[token]
        self._owners[token & SLOT_MASK] = call.owner
        call.over(token, None)
        call.owner.opened(tunnel, subprotocol)


def _failed(dial: Dial, failure: str, number: int) -> Exception:
    match failure:
        case "left":
            return ConnectionResetError("the client has left")
        case "late":
            return dial_error(dial, TimeoutError())
        case "closed":
            return dial_error(dial, BadAnswer("it closed the connection without an answer"))
        case _:
            return dial_error(dial, OSError(number, os.strerror(number)))


@functools.cache
def _is_address(host: str) -> bool:
    """Whether `host` needs no resolver, which is the event loop's: a zone's name does, too."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return "%" not in host
