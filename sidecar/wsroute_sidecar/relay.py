"""The portable relay engine: a tunnel after its 101, on asyncio.

A tunnel has two sides; each is a lean protocol that feeds what it receives through the frame
tracker of its direction to the other. How a tunnel ends:

 - a Close frame, or the end of input, passes from one side to the other like any other byte
 - where the sidecar ends it, both sides get a Close at the next frame boundary, what still comes
   is read and dropped, and each connection is closed when its side has answered or left, at the
   latest after CLOSE_TIMEOUT
 - a backend that leaves without a Close leaves the client with one from the sidecar: 1001 where it
   ended its output, 1011 where the connection broke; within a frame, with the end of input
 - what a side has sent before its connection broke still goes on, a Close with it
 - under a limit for messages, a side whose stream cannot be parsed ends the tunnel with 1002 (RFC
   6455 section 7.4.1): what it sends could be of any size

A side is read only while nothing waits for its peer, so a tunnel holds at most one piece of
READ_SIZE for each direction.

Pings go out at each interval, answered or not, as a peer need answer only the latest that it has
got, be it the other end's (RFC 6455 section 5.5.3). All of them carry the same payload, by which
their pongs are known.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import time
from collections.abc import Callable
from typing import Final

from wsroute_sidecar import lifetimes
from wsroute_sidecar.dial import Client, Judge, Refused, call
from wsroute_sidecar.frames import Tracker, close_frame, ping_frame
from wsroute_sidecar.reading import READ_SIZE, Reader
from wsroute_sidecar.relay_types import (
    CLOSE_TIMEOUT,
    HALF_CLOSE_TIMEOUT,
    STALL_TIMEOUT,
    Dial,
    End,
    Initiator,
    Limits,
    Owner,
    Reason,
    Stats,
)
from wsroute_sidecar.wheel import Wheel


class Side(Reader):
    """One end of a tunnel: what it receives goes to its peer."""

    __slots__ = (
        "asked",
        "awaited",
        "eof",
        "heard",
        "initiator",
        "lost",
        "owes",
        "peer",
        "received",
        "rtt",
        "stalled",
        "tracker",
        "transport",
        "tunnel",
    )

    peer: Side
    transport: asyncio.Transport

    def __init__(self, tunnel: AsyncioTunnel, initiator: Initiator) -> None:
        self.tunnel = tunnel
        self.initiator = initiator
        self.tracker = Tracker(
            masked=initiator is Initiator.CLIENT, max_message=tunnel.limits.max_message
        )
        self.received = 0
        self.heard = tunnel.opened
        self.owes = False
        """Whether no pong has come since the last ping."""
        self.awaited = False
        """Whether it must be heard of before the pong's deadline."""
        self.asked: float | None = None
        """When the ping was sent that the next pong answers; None where that is not sure.

        By the system's clock: uvloop's counts whole milliseconds, which a pong takes less than.
        """
        self.rtt: float | None = None
        self.stalled: tuple[float, int] | None = None
        """Deadline for progress, and the bytes that were waiting when it was set."""
        self.eof = False
        self.lost = False

    def attach(self, transport: asyncio.Transport) -> None:
        """Become the protocol of `transport`."""
        self.transport = transport
        transport.set_write_buffer_limits(high=1)  # with 0, asyncio's TLS would not resume
        transport.set_protocol(self)

    def data_received(self, data: bytes) -> None:
        tunnel, tracker = self.tunnel, self.tracker
        self.received += len(data)
        data_bytes = tracker.data_bytes
        out = tracker.feed(data)
        if out:
            self.peer.write(out)
        self.heard = now = tunnel.engine.time()
        if (
            tracker.data_bytes != data_bytes
            or (out and not tunnel.limits.idle_data_only)  # a swallowed pong is no activity
            or tracker.broken
        ):
            tunnel.active = now
        if tracker.ponged:
            self.ponged()
        if tracker.close is not None or not tracker.passing:
            tunnel.saw_end(self)

    def write(self, data: bytes) -> None:
        """Send `data` to this side, if it is still there; TLS closes itself at the input's end."""
        if data and not self.lost and not self.transport.is_closing():
            self.transport.write(data)

    def send_close(self, code: int, text: str) -> bool:
        """Send a Close of the sidecar's own, between two frames of the peer's.

        Whether it has gone out: not yet within a frame, and never where none may be put in.
        """
        frame = close_frame(code, text, mask=self.initiator is Initiator.BACKEND)
        out = self.peer.tracker.insert(frame)
        self.write(out)
        return bool(out)

    def send_ping(self) -> None:
        """Await an answer to a ping that is sent now.

        No ping goes to a side that could not be blamed for its silence: in the middle of a frame,
        after a Close, where no frames are spoken, before what waits for it, and while it is not
        read, as something waits for its peer.
        """
        back, into = self.tracker, self.peer.tracker
        ended = any(way.broken or way.close is not None for way in (back, into))
        stalled = self.stalled is not None or self.peer.stalled is not None
        if ended or stalled or not into.at_boundary:
            self.asked = None
            return
        if back.own_ping is None:
            back.own_ping = secrets.token_bytes(8)
        mask = self.initiator is Initiator.BACKEND
        self.write(into.insert(ping_frame(back.own_ping, mask=mask)))
        self.asked = None if self.owes else time.monotonic()
        self.owes = self.awaited = True

    def ponged(self) -> None:
        """A pong to one of the sidecar's pings has come."""
        self.tracker.ponged = self.owes = self.awaited = False
        if self.asked is not None:
            self.rtt, self.asked = time.monotonic() - self.asked, None
            self.tunnel.owner.ponged(self.initiator, self.rtt)
        self.tunnel.reschedule()

    @property
    def done(self) -> bool:
        """Whether nothing more is to be expected from this side."""
        return self.eof or self.lost or self.tracker.close is not None

    @property
    def told(self) -> bool:
        """Whether a Close has gone out to this side, which is to answer it."""
        into = self.peer.tracker
        return not into.passing or into.close is not None

    def end_input(self) -> None:
        """Tell this side that nothing more comes, after what is still to be written."""
        if self.transport.is_closing():
            return
        if self.transport.can_write_eof():
            self.transport.write_eof()
        elif self.done or not self.told:  # TLS has no half-close that peers agree on
            self.transport.close()

    def eof_received(self) -> bool:
        self.eof = True
        self.tunnel.input_ended(self)
        return self.transport.can_write_eof()  # it stays open for writing, where there is such

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        if exc is not None:
            self.take_rest()
        self.tunnel.connection_ended(self, exc)

    def take_rest(self) -> None:
        """Pass on what came before the connection broke, as far as the peer takes it.

        A write that fails ends a transport, with input unread that the kernel still has.
        """
        if self.transport.get_extra_info("ssl_object") is not None:
            return
        input_left = self.transport.get_extra_info("socket").fileno()
        with contextlib.suppress(OSError):
            while self.peer.stalled is None and (data := os.read(input_left, READ_SIZE)):
                self.data_received(data)

    def pause_writing(self) -> None:
        if not self.peer.transport.is_closing():
            self.peer.transport.pause_reading()
        self.stalled = (
            self.tunnel.engine.time() + STALL_TIMEOUT,
            self.transport.get_write_buffer_size(),
        )
        self.tunnel.reschedule()

    def resume_writing(self) -> None:
        self.stalled = None
        self.peer.read_on()

    def read_on(self) -> None:
        """Read again from this side, whose peer has taken what was waiting, or is gone."""
        if not self.transport.is_closing():
            self.transport.resume_reading()

    def gave_up(self, now: float) -> bool:
        """Whether this side has not read a byte for STALL_TIMEOUT."""
        if self.lost or self.stalled is None or now < self.stalled[0]:
            return False
        waiting = self.transport.get_write_buffer_size()
        if waiting < self.stalled[1]:
            self.stalled = (now + STALL_TIMEOUT, waiting)
            return False
        return True


class AsyncioTunnel:
    """Two sides, the clock of their life, and the one reason of their end."""

    __slots__ = (
        "_cut",
        "_end",
        "active",
        "backend",
        "client",
        "engine",
        "limits",
        "opened",
        "owner",
        "pinged",
    )

    def __init__(self, engine: AsyncioEngine, limits: Limits, owner: Owner) -> None:
        self.engine = engine
        self.limits = limits
        self.opened = self.active = engine.time()
        self.pinged = self.opened
        self.owner = owner
        self._end: End | None = None
        self._cut: float | None = None
        """When it is cut, whoever is still there."""
        self.client = Side(self, Initiator.CLIENT)
        self.backend = Side(self, Initiator.BACKEND)
        self.client.peer, self.backend.peer = self.backend, self.client

    @property
    def _sides(self) -> tuple[Side, Side]:
        return (self.client, self.backend)

    def stats(self) -> Stats:
        """What the tunnel has done so far."""
        client, backend = self.client, self.backend
        return Stats(
            self.opened,
            self.active,
            client.received,
            backend.received,
            client.tracker.messages,
            backend.tracker.messages,
            client.rtt,
            backend.rtt,
        )

    def end(self, reason: Reason, code: int, text: str) -> None:
        """Send both sides a Close, and cut after CLOSE_TIMEOUT at most."""
        if self._end is None:
            self._end = End(reason, Initiator.SIDECAR, code, text)
            for side in self._sides:
                side.send_close(code, text)
        self._cut_in(CLOSE_TIMEOUT)
        self._close_if_done()

    def abort(self) -> None:
        """Cut both connections."""
        for side in self._sides:
            if not side.lost:
                side.transport.abort()

    # What the sides report.

    def saw_end(self, side: Side) -> None:
        """A Close has come from `side`, or something whose size goes beyond the limit or may."""
        close = side.tracker.close
        if close is not None:
            self._settle(side, close.code, close.reason.decode(errors="replace"))
            self._close_if_done()
        elif self._end is None:
            if side.tracker.too_big:
                self.end(Reason.LIMIT, 1009, "message is too big")
            else:
                self.end(Reason.LIMIT, 1002, "stream cannot be parsed, and has a limit")

    def input_ended(self, side: Side) -> None:
        """`side` sends nothing more; what it has sent goes out, then its peer learns of it."""
        peer = side.peer
        peer.write(side.tracker.flush())
        if not self._tell_client(side, 1001, "backend has ended the connection"):
            peer.end_input()
        self._settle(side, None, "")
        self._cut_in(HALF_CLOSE_TIMEOUT)
        self._close_if_done()

    def connection_ended(self, side: Side, exc: Exception | None) -> None:
        """The connection to `side` is gone."""
        peer = side.peer
        if peer.lost:
            self._settle(side, None, "")
            self._finish()
            return
        peer.read_on()
        self._tell_client(side, 1011, "connection to the backend broke")
        if peer.done or not peer.told:
            peer.transport.close()
        self._settle(side, None, str(exc or ""))
        self._cut_in(CLOSE_TIMEOUT)

    def _tell_client(self, side: Side, code: int, text: str) -> bool:
        """Whether the client got a Close for the loss of `side`, and is to answer it.

        Where the backend was lost within a frame none can be sent; the end of input says it then.
        """
        return side is self.backend and self._end is None and self.client.send_close(code, text)

    def _settle(self, side: Side, code: int | None, detail: str) -> None:
        """The first cause of the end is the one that counts."""
        if self._end is None:
            self._end = End(Reason(side.initiator.value), side.initiator, code, detail)

    def _close_if_done(self) -> None:
        """Close each connection whose side is done, and gets nothing more than what waits."""
        for side in self._sides:
            if side.done and (side.peer.done or not side.peer.tracker.passing) and not side.lost:
                side.transport.close()
                self._cut_in(CLOSE_TIMEOUT)

    def _finish(self) -> None:
        self.engine.forget(self)
        assert self._end is not None  # noqa: S101 - each loss has settled it
        self.owner.ended(self._end)
        del self.owner  # it has the tunnel, and the collector may not see that

    # What the clock asks.

    def _cut_in(self, seconds: float) -> None:
        when = self.engine.time() + seconds
        if self._cut is None or when < self._cut:
            self._cut = when
            self.reschedule()

    def due(self, now: float) -> None:
        """Do what is due at `now`."""
        if self._cut is not None:
            if now >= self._cut:
                self.abort()
        elif any(side.gave_up(now) for side in self._sides):
            self._end = End(Reason.ERROR, Initiator.SIDECAR, None, "a side does not read")
            self.abort()
        else:
            self._live_on(now)
        self.reschedule()

    def reschedule(self) -> None:
        """Be called again when something may be due."""
        if self._cut is not None:
            when = self._cut
        else:
            times = [side.stalled[0] for side in self._sides if side.stalled is not None]
            if (deadline := lifetimes.next_deadline(self.limits, self._moments())) is not None:
                times.append(deadline)
            if not times:
                return
            when = min(times)
        self.engine.schedule(self, when)

    def _moments(self) -> lifetimes.Moments:
        awaiting = self.client.awaited or self.backend.awaited
        return lifetimes.Moments(self.opened, self.active, self.pinged, awaiting)

    def _live_on(self, now: float) -> None:
        what = lifetimes.due(self.limits, self._moments(), now)
        if what is lifetimes.Due.PING:
            self.pinged = now
            for side in self._sides:
                side.send_ping()
        elif what is lifetimes.Due.PONG:
            self._pong_is_late()
        elif what is not None:
            self.end(*lifetimes.CLOSES[what])

    def _pong_is_late(self) -> None:
        """A side that has sent anything since the ping lives, however busy it is."""
        silent = [side for side in self._sides if side.awaited and side.heard <= self.pinged]
        for side in self._sides:
            side.awaited = False
        if silent:
            reason, code, text = lifetimes.CLOSES[lifetimes.Due.PONG]
            self.end(reason, code, f"{text} by the {silent[0].initiator}")


class AsyncioEngine:
    """All tunnels of the process, one timer for their deadlines."""

    name: Final = "asyncio"

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.time: Final[Callable[[], float]] = loop.time
        self.bare: Final = None
        self._wheel: Wheel[AsyncioTunnel] = Wheel()
        self._timer: asyncio.Handle | None = None
        self._armed: float | None = None
        """When the timer fires: for a time that has passed uvloop's handles do not say it."""

    async def open(
        self, client: Client, dial: Dial, judge: Judge, limits: Limits, owner: Owner
    ) -> Refused | None:
        """Dial, have the answer judged, and relay from then on, of which `owner` is told.

        Raises:
            DialError: The backend cannot be reached, is too slow, or answers nonsense.
        """
        called = await call(self._loop, dial, judge)
        if isinstance(called, Refused):
            return called
        try:
            transport, early = client.take()
        except BaseException:
            called.transport.abort()
            raise
        tunnel = AsyncioTunnel(self, limits, owner)
        transport.write(called.answer.head)
        tunnel.backend.attach(called.transport)
        tunnel.client.attach(transport)
        tunnel.reschedule()
        for side in (tunnel.backend, tunnel.client):
            side.read_on()  # before what is here already, which may pause it again
        for side, data in ((tunnel.backend, called.early), (tunnel.client, early)):
            if data:
                side.data_received(data)
        owner.opened(tunnel, called.answer.subprotocol)
        return None

    def schedule(self, tunnel: AsyncioTunnel, when: float) -> None:
        """Call `tunnel.due` at `when`."""
        self._wheel.schedule(tunnel, when)
        if self._armed is None or when < self._armed:
            self._arm()

    def forget(self, tunnel: AsyncioTunnel) -> None:
        """Call nothing of `tunnel` any more."""
        self._wheel.cancel(tunnel)

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._armed = when = self._wheel.next()
        self._timer = None if when is None else self._loop.call_at(when, self._tick)

    def _tick(self) -> None:
        self._timer = None
        now = self.time()
        for tunnel in self._wheel.due(now):
            tunnel.due(now)
        self._arm()
