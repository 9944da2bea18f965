"""The relay engine in virtual time: what the clock does to a tunnel, and what it must not."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import pytest
from websockets.frames import Opcode

from tests.sidecar.relay_rig import NO_LIMITS, Owner
from tests.support.wire import Seen, close, frame, parse, text
from wsroute_sidecar.relay import AsyncioEngine, AsyncioTunnel
from wsroute_sidecar.relay_types import (
    CLOSE_TIMEOUT,
    HALF_CLOSE_TIMEOUT,
    STALL_TIMEOUT,
    Initiator,
    Limits,
    Reason,
)
from wsroute_sidecar.wheel import TICK

pytestmark = pytest.mark.looptime

LATE: Final = TICK + 0.001
"""Seconds by which a deadline may be missed."""


class Line(asyncio.Transport):
    """A connection in memory, whose far end may stop to read."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = bytearray()
        self.waiting = 0
        self.ended = False
        self.closed = False

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        assert isinstance(protocol, asyncio.BufferedProtocol)
        self.protocol = protocol

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        assert high == 1

    def write(self, data: bytes | bytearray | memoryview[int]) -> None:
        assert not self.ended
        self.sent += data

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.ended = True

    def get_write_buffer_size(self) -> int:
        return self.waiting

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)

    abort = close

    def seen(self) -> list[Seen]:
        """The frames that were sent since the last look."""
        found = parse(bytes(self.sent))
        self.sent.clear()
        return found


class Rig:
    """A tunnel between two such connections, opened now."""

    def __init__(self, limits: Limits = NO_LIMITS, engine: AsyncioEngine | None = None) -> None:
        engine = engine or AsyncioEngine(asyncio.get_running_loop())
        self.owner: Final = Owner()
        self.tunnel: Final = AsyncioTunnel(engine, limits, self.owner)
        self.client: Final = Line()
        self.backend: Final = Line()
        self.tunnel.backend.attach(self.backend)
        self.tunnel.client.attach(self.client)
        self.tunnel.reschedule()

    def say(self, *data: bytes) -> None:
        """The client sends `data`."""
        self.tunnel.client.data_received(b"".join(data))

    def reply(self, *data: bytes) -> None:
        """The backend sends `data`."""
        self.tunnel.backend.data_received(b"".join(data))

    def pong(self, *who: Initiator) -> None:
        """Answer the pings that were sent to `who`."""
        for line, side, mask in (
            (self.client, self.tunnel.client, True),
            (self.backend, self.tunnel.backend, False),
        ):
            if side.initiator in who:
                (ping,) = line.seen()
                assert ping.opcode is Opcode.PING
                side.data_received(frame(Opcode.PONG, ping.data, mask=mask))

    @property
    def closes(self) -> list[tuple[int, str]]:
        """What the sidecar's own Close said to both sides."""
        return [line.seen()[-1].close for line in (self.client, self.backend)]


BOTH: Final = (Initiator.CLIENT, Initiator.BACKEND)
MESSAGE: Final = text("hello", mask=True)
REPLY: Final = text("hello", mask=False)
PING: Final = frame(Opcode.PING, b"hi", mask=True)
PONG: Final = frame(Opcode.PONG, b"hi", mask=False)
BEAT: Final = frame(Opcode.PING, b"beat", mask=False)
NO_FRAMES: Final = b"\xff\xffhello"


async def until(moment: float) -> None:
    await asyncio.sleep(moment - asyncio.get_running_loop().time())


def stall(line: Line, waiting: int) -> None:
    line.waiting = waiting
    line.protocol.pause_writing()


async def lives_for(rig: Rig, moment: float) -> None:
    """The tunnel is untouched until then, and its end begins there."""
    await until(moment - 0.001)
    assert not rig.client.sent
    assert not rig.backend.sent
    await until(moment + LATE)


async def test_an_idle_tunnel_ends_with_a_close_to_both_sides() -> None:
    rig = Rig(Limits(idle=10.0))
    await lives_for(rig, 10.0)
    assert rig.closes == [(1001, "connection was idle for too long")] * 2
    rig.say(close(1001, mask=True))
    rig.reply(close(1001, mask=False))
    end = await rig.owner.end()
    assert (end.reason, end.initiator, end.code) == (Reason.IDLE, Initiator.SIDECAR, 1001)


@pytest.mark.parametrize(
    ("data_only", "data", "counts"),
    [
        pytest.param(False, MESSAGE, True, id="a message counts"),
        pytest.param(False, PING, True, id="a ping counts"),
        pytest.param(False, MESSAGE[:9], True, id="part of a message counts"),
        pytest.param(False, NO_FRAMES, True, id="what is no frames counts"),
        pytest.param(True, MESSAGE, True, id="of data frames only, a message counts"),
        pytest.param(True, MESSAGE[:9], True, id="of data frames only, part of a message counts"),
        pytest.param(True, PING, False, id="of data frames only, a ping does not count"),
        pytest.param(True, NO_FRAMES, True, id="of data frames only, what is no frames counts"),
    ],
)
async def test_what_counts_against_idleness(data_only: bool, data: bytes, counts: bool) -> None:
    rig = Rig(Limits(idle=10.0, idle_data_only=data_only))
    for moment in (3.0, 6.0):
        await until(moment)
        rig.say(data)
    rig.backend.sent.clear()
    await lives_for(rig, 16.0 if counts else 10.0)
    assert rig.client.seen()[-1].close == (1001, "connection was idle for too long")


async def test_pongs_to_the_sidecars_own_pings_do_not_count_against_idleness() -> None:
    rig = Rig(Limits(idle=10.0, ping_interval=4.0, pong_timeout=2.0))
    for moment in (4.0, 8.0):
        await until(moment + LATE)
        rig.pong(*BOTH)
    await lives_for(rig, 10.0)
    assert rig.closes == [(1001, "connection was idle for too long")] * 2


async def test_the_greatest_age_ends_a_busy_tunnel() -> None:
    rig = Rig(Limits(idle=10.0, max_age=20.0))
    for moment in (5.0, 10.0, 15.0):
        await until(moment)
        rig.say(MESSAGE)
    rig.backend.sent.clear()
    await lives_for(rig, 20.0)
    assert rig.closes == [(1001, "connection reached its maximum duration")] * 2


async def test_peers_that_answer_pings_stay_and_see_nothing_of_each_others() -> None:
    rig = Rig(Limits(ping_interval=30.0, pong_timeout=10.0))
    for round_trip in range(1, 5):
        await lives_for(rig, 30.0 * round_trip)
        rig.pong(*BOTH)
    assert not rig.client.sent
    assert not rig.backend.sent
    assert [side for side, _ in rig.owner.pongs] == [*BOTH] * 4
    assert not rig.owner.told


async def test_the_next_ping_does_not_wait_for_a_deadline_that_was_met() -> None:
    rig = Rig(Limits(ping_interval=5.0, pong_timeout=60.0))
    for round_trip in range(1, 4):
        await lives_for(rig, 5.0 * round_trip)
        rig.pong(*BOTH)


@pytest.mark.parametrize("dead", BOTH)
async def test_a_peer_that_does_not_answer_a_ping_ends_the_tunnel(dead: Initiator) -> None:
    rig = Rig(Limits(ping_interval=30.0, pong_timeout=10.0))
    await until(30.0 + LATE)
    rig.pong(*(who for who in BOTH if who is not dead))
    await until(40.0 + 2 * LATE)
    assert rig.closes == [(1011, f"no answer to a ping by the {dead}")] * 2
    assert (await rig.owner.end()).reason is Reason.PING_TIMEOUT


async def test_a_peer_that_is_too_busy_to_answer_lives_and_its_late_pong_is_swallowed() -> None:
    rig = Rig(Limits(ping_interval=30.0, pong_timeout=10.0))
    await until(30.0 + LATE)
    (ping,) = rig.client.seen()
    rig.pong(Initiator.BACKEND)
    await until(35.0)
    rig.say(MESSAGE)
    await until(45.0)
    rig.say(frame(Opcode.PONG, ping.data, mask=True))
    assert rig.backend.seen() == parse(MESSAGE)
    await until(60.0 + LATE)
    rig.pong(*BOTH)
    assert not rig.owner.told


async def test_a_peer_that_answers_no_ping_but_sends_data_is_asked_again_each_time() -> None:
    rig = Rig(Limits(ping_interval=30.0, pong_timeout=10.0))
    for round_trip in range(1, 4):
        await until(30.0 * round_trip + LATE)
        rig.pong(Initiator.BACKEND)
        assert [seen.opcode for seen in rig.client.seen()] == [Opcode.PING]
        rig.say(MESSAGE)
        assert rig.backend.seen() == parse(MESSAGE)
    await until(120.0 + LATE)
    rig.pong(Initiator.BACKEND)
    await until(130.0 + 2 * LATE)
    assert rig.client.seen()[-1].close == (1011, "no answer to a ping by the client")


async def test_a_peer_may_answer_only_the_latest_of_several_pings() -> None:
    """RFC 6455 section 5.5.3: the backend's own ping came later, so its pong is the answer."""
    rig = Rig(Limits(ping_interval=30.0, pong_timeout=10.0))
    for round_trip in range(1, 5):
        await until(30.0 * round_trip + LATE)
        rig.reply(BEAT)
        _, ping = rig.client.seen()
        rig.say(frame(Opcode.PONG, ping.data, mask=True))
        answered, passed = rig.backend.seen()
        assert passed.data == ping.data
        rig.reply(frame(Opcode.PONG, answered.data, mask=False))
    assert not rig.owner.told
    assert [side for side, _ in rig.owner.pongs] == [Initiator.BACKEND] * 4


async def test_pongs_to_all_of_the_sidecars_pings_are_swallowed_however_late() -> None:
    rig = Rig(Limits(ping_interval=30.0))
    await until(90.0 + LATE)
    pings = rig.client.seen()
    assert [ping.opcode for ping in pings] == [Opcode.PING] * 3
    rig.backend.sent.clear()
    for ping in pings:
        rig.say(frame(Opcode.PONG, ping.data, mask=True))
    assert not rig.backend.sent


async def test_a_pong_that_may_answer_one_of_several_pings_is_no_measurement() -> None:
    rig = Rig(Limits(ping_interval=30.0))
    await until(60.0 + LATE)
    (ping, _) = rig.client.seen()
    rig.say(frame(Opcode.PONG, ping.data, mask=True))
    assert rig.owner.pongs == []
    await until(90.0 + LATE)
    rig.pong(Initiator.CLIENT)
    ((side, seconds),) = rig.owner.pongs
    assert side is Initiator.CLIENT
    assert seconds < 1


@pytest.mark.parametrize(
    ("said", "replied"),
    [
        pytest.param(NO_FRAMES, NO_FRAMES, id="no frames are spoken"),
        pytest.param(MESSAGE[:-1], REPLY[:-1], id="a frame is not finished"),
        pytest.param(close(1000, mask=True), b"", id="the connection is being closed"),
    ],
)
async def test_who_cannot_be_pinged_owes_no_answer(said: bytes, replied: bytes) -> None:
    rig = Rig(Limits(ping_interval=30.0, pong_timeout=10.0))
    rig.say(said)
    rig.reply(replied)
    await until(55.0)
    assert rig.backend.sent == said
    assert rig.client.sent == replied
    assert not rig.owner.told


async def test_a_ping_is_sent_at_the_next_turn_where_a_frame_is_finished_then() -> None:
    rig = Rig(Limits(ping_interval=30.0, pong_timeout=10.0))
    rig.reply(REPLY[:-1])
    await until(30.0 + LATE)
    rig.reply(REPLY[-1:])
    rig.pong(Initiator.BACKEND)
    await until(60.0 + LATE)
    assert [seen.opcode for seen in rig.client.seen()] == [Opcode.TEXT, Opcode.PING]


async def test_who_has_not_read_all_that_waits_for_it_is_not_pinged() -> None:
    rig = Rig(Limits(ping_interval=30.0, pong_timeout=10.0))
    stall(rig.client, 100_000)
    await until(30.0 + LATE)
    rig.pong(Initiator.BACKEND)
    await until(55.0)
    assert not rig.client.sent
    assert not rig.owner.told


async def test_pongs_that_answer_a_peers_own_pings_pass() -> None:
    rig = Rig(Limits(ping_interval=30.0, pong_timeout=10.0))
    rig.say(PING)
    rig.reply(PONG)
    assert rig.backend.seen() == parse(PING)
    assert rig.client.seen() == parse(PONG)


async def cut_at(rig: Rig, moment: float) -> None:
    await until(moment - 0.001)
    assert not rig.owner.told
    await until(moment + LATE)
    assert rig.owner.told
    assert rig.client.closed
    assert rig.backend.closed


async def test_peers_that_do_not_answer_the_sidecars_close_are_cut() -> None:
    rig = Rig()
    rig.tunnel.end(Reason.DRAIN, 1001, "pod is going away")
    await cut_at(rig, CLOSE_TIMEOUT)


async def test_one_direction_goes_on_for_a_while_after_the_other_has_ended() -> None:
    rig = Rig()
    rig.tunnel.client.eof_received()
    await until(20.0)
    rig.reply(REPLY)
    assert rig.client.seen() == parse(REPLY)
    await cut_at(rig, HALF_CLOSE_TIMEOUT)


async def test_a_client_that_does_not_answer_for_a_backend_that_broke_is_cut() -> None:
    rig = Rig()
    rig.backend.close()
    await cut_at(rig, CLOSE_TIMEOUT)
    assert (await rig.owner.end()).reason is Reason.BACKEND


async def test_a_peer_that_does_not_read_is_given_up() -> None:
    rig = Rig()
    stall(rig.client, 100_000)
    await cut_at(rig, STALL_TIMEOUT)
    end = await rig.owner.end()
    assert (end.reason, end.initiator) == (Reason.ERROR, Initiator.SIDECAR)


async def test_a_peer_that_reads_slowly_is_not_given_up() -> None:
    rig = Rig()
    stall(rig.client, 100_000)
    for part in (90_000, 80_000, 70_000):
        await asyncio.sleep(STALL_TIMEOUT - 1)
        rig.client.waiting = part
    assert not rig.owner.told


async def test_a_peer_that_has_caught_up_is_not_given_up() -> None:
    rig = Rig()
    stall(rig.client, 100_000)
    await until(STALL_TIMEOUT / 2)
    rig.client.protocol.resume_writing()
    await until(STALL_TIMEOUT * 2)
    assert not rig.owner.told


async def test_a_close_handshake_that_drags_on_ends_with_the_clock() -> None:
    rig = Rig(Limits(idle=10.0))
    rig.say(close(1000, mask=True))
    await cut_at(rig, 10.0 + CLOSE_TIMEOUT)
    assert (await rig.owner.end()).reason is Reason.CLIENT


@pytest.mark.parametrize(
    "ages", [pytest.param([3.0, 1.0, 2.0], id="any order"), pytest.param([2.0] * 3, id="at once")]
)
async def test_one_clock_serves_many_tunnels(ages: Sequence[float]) -> None:
    engine = AsyncioEngine(asyncio.get_running_loop())
    rigs = [Rig(Limits(max_age=age), engine) for age in ages]
    for moment in range(1, 4):
        await until(moment + LATE)
        assert [bool(rig.client.sent) for rig in rigs] == [age <= moment for age in ages]
