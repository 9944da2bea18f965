"""The relay engine between real sockets: how bytes pass, and how each kind of end is told."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import gc
import secrets
import weakref
from collections.abc import Sequence
from typing import Final, Literal, NamedTuple, cast

import pytest
import uvloop
from websockets.frames import Opcode

from tests.sidecar.relay_rig import (
    SWITCHING,
    Owner,
    Waited,
    answer,
    client_pair,
    dial,
    judge,
    listening,
    tunnel,
)
from tests.support.waiting import eventually
from tests.support.wire import Wire, close, frame, more, text
from wsroute_sidecar.relay import AsyncioEngine, AsyncioTunnel
from wsroute_sidecar.relay_types import End, Initiator, Limits, Reason, Tunnel

LOOPS: Final = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}

Who = Literal["client", "backend"]


class Sends(NamedTuple):
    data: bytes


class Sees(NamedTuple):
    data: bytes


class SeesClose(NamedTuple):
    code: int
    reason: str = ""


class Does(enum.Enum):
    END = enum.auto()
    VANISH = enum.auto()
    SEE_END = enum.auto()


ENDS, VANISHES, SEES_END = Does.END, Does.VANISH, Does.SEE_END
Step = tuple[Who, Sends | Sees | SeesClose | Does]

HELLO: Final = text("hello", mask=False)
HELLO_MASKED: Final = text("hello", mask=True)
CLOSE: Final = close(1000, "done", mask=False)
CLOSE_MASKED: Final = close(1000, "done", mask=True)
NO_FRAMES: Final = b"\xff\xff hello"
NOT_FRAMES: Final = (1002, "stream cannot be parsed, and has a limit")


class Case(NamedTuple):
    name: str
    steps: Sequence[Step]
    end: tuple[Reason, Initiator, int | None]


def ends(reason: Reason, code: int | None = None) -> tuple[Reason, Initiator, int | None]:
    return reason, Initiator(reason.value), code


CASES: Final = (
    Case(
        "the client closes, the backend answers: both connections end",
        [
            ("client", Sends(CLOSE_MASKED)),
            ("backend", Sees(CLOSE_MASKED)),
            ("backend", Sends(CLOSE)),
            ("client", Sees(CLOSE)),
            ("client", SEES_END),
            ("backend", SEES_END),
        ],
        ends(Reason.CLIENT, 1000),
    ),
    Case(
        "the backend closes, the client answers: both connections end",
        [
            ("backend", Sends(CLOSE)),
            ("client", Sees(CLOSE)),
            ("client", Sends(CLOSE_MASKED)),
            ("backend", Sees(CLOSE_MASKED)),
            ("client", SEES_END),
            ("backend", SEES_END),
        ],
        ends(Reason.BACKEND, 1000),
    ),
    Case(
        "a Close waits for its answer, behind messages on their way",
        [
            ("client", Sends(CLOSE_MASKED)),
            ("backend", Sees(CLOSE_MASKED)),
            ("backend", Sends(HELLO)),
            ("client", Sees(HELLO)),
            ("backend", Sends(CLOSE)),
            ("client", Sees(CLOSE)),
            ("client", SEES_END),
            ("backend", SEES_END),
        ],
        ends(Reason.CLIENT, 1000),
    ),
    Case(
        "the backend closes and ends: the client can still answer",
        [
            ("backend", Sends(CLOSE)),
            ("backend", ENDS),
            ("client", Sees(CLOSE)),
            ("client", SEES_END),
            ("client", Sends(CLOSE_MASKED)),
            ("backend", Sees(CLOSE_MASKED)),
            ("backend", SEES_END),
        ],
        ends(Reason.BACKEND, 1000),
    ),
    Case(
        "the client closes, the backend ends without an answer: so it does for the client",
        [
            ("client", Sends(CLOSE_MASKED)),
            ("backend", Sees(CLOSE_MASKED)),
            ("backend", ENDS),
            ("client", SEES_END),
            ("backend", SEES_END),
        ],
        ends(Reason.CLIENT, 1000),
    ),
    Case(
        "the client ends its output: the backend learns of it, and still reaches the client",
        [
            ("client", Sends(HELLO_MASKED)),
            ("client", ENDS),
            ("backend", Sees(HELLO_MASKED)),
            ("backend", SEES_END),
            ("backend", Sends(HELLO)),
            ("client", Sees(HELLO)),
            ("backend", ENDS),
            ("client", SEES_END),
        ],
        ends(Reason.CLIENT),
    ),
    Case(
        "the backend ends its output without a Close: the client gets one",
        [
            ("backend", Sends(HELLO)),
            ("backend", ENDS),
            ("client", Sees(HELLO)),
            ("client", SeesClose(1001, "backend has ended the connection")),
            ("client", Sends(HELLO_MASKED)),
            ("backend", Sees(HELLO_MASKED)),
            ("client", Sends(CLOSE_MASKED)),
            ("backend", Sees(CLOSE_MASKED)),
            ("client", SEES_END),
            ("backend", SEES_END),
        ],
        ends(Reason.BACKEND),
    ),
    Case(
        "the backend ends its output, then the client does",
        [
            ("backend", ENDS),
            ("client", SeesClose(1001, "backend has ended the connection")),
            ("client", ENDS),
            ("backend", SEES_END),
            ("client", SEES_END),
        ],
        ends(Reason.BACKEND),
    ),
    Case(
        "the backend ends in the middle of a message, between two frames: the client gets a Close",
        [
            ("backend", Sends(text("hel", mask=False, fin=False))),
            ("backend", ENDS),
            ("client", Sees(text("hel", mask=False, fin=False))),
            ("client", SeesClose(1001, "backend has ended the connection")),
            ("client", ENDS),
            ("client", SEES_END),
        ],
        ends(Reason.BACKEND),
    ),
    Case(
        "the backend ends in the middle of a frame: no Close can be said, so the end is",
        [
            ("backend", Sends(HELLO[:-1])),
            ("backend", ENDS),
            ("client", Sees(HELLO[:-1])),
            ("client", SEES_END),
            ("client", ENDS),
            ("backend", SEES_END),
        ],
        ends(Reason.BACKEND),
    ),
    Case(
        "the backend ends in the middle of a frame's head",
        [
            ("backend", Sends(HELLO[:1])),
            ("backend", ENDS),
            ("client", Sees(HELLO[:1])),
            ("client", SEES_END),
            ("client", ENDS),
            ("backend", SEES_END),
        ],
        ends(Reason.BACKEND),
    ),
    Case(
        "the client ends in the middle of a frame",
        [
            ("client", Sends(HELLO_MASKED[:-1])),
            ("client", ENDS),
            ("backend", Sees(HELLO_MASKED[:-1])),
            ("backend", SEES_END),
            ("backend", ENDS),
            ("client", SEES_END),
        ],
        ends(Reason.CLIENT),
    ),
    Case(
        "the backend speaks no frames: its end is passed on as it is",
        [
            ("backend", Sends(b"\xff\xff hello")),
            ("backend", ENDS),
            ("client", Sees(b"\xff\xff hello")),
            ("client", SEES_END),
            ("client", Sends(b"\xff\xff bye")),
            ("backend", Sees(b"\xff\xff bye")),
            ("client", ENDS),
            ("backend", SEES_END),
        ],
        ends(Reason.BACKEND),
    ),
    Case(
        "the backend vanishes: the client gets a Close, and its end once it has answered",
        [
            ("backend", VANISHES),
            ("client", SeesClose(1011, "connection to the backend broke")),
            ("client", Sends(CLOSE_MASKED)),
            ("client", SEES_END),
        ],
        ends(Reason.BACKEND),
    ),
    Case(
        "the backend closes and vanishes: the client can still answer",
        [
            ("backend", Sends(CLOSE)),
            ("client", Sees(CLOSE)),
            ("backend", VANISHES),
            ("client", Sends(HELLO_MASKED + CLOSE_MASKED)),
            ("client", SEES_END),
        ],
        ends(Reason.BACKEND, 1000),
    ),
    Case(
        "the backend vanishes in the middle of a frame",
        [
            ("backend", Sends(HELLO[:-1])),
            ("client", Sees(HELLO[:-1])),
            ("backend", VANISHES),
            ("client", SEES_END),
        ],
        ends(Reason.BACKEND),
    ),
    Case(
        "the backend vanishes after the client's Close",
        [
            ("client", Sends(CLOSE_MASKED)),
            ("backend", Sees(CLOSE_MASKED)),
            ("backend", VANISHES),
            ("client", SEES_END),
        ],
        ends(Reason.CLIENT, 1000),
    ),
    Case(
        "the client vanishes: the backend sees the end",
        [
            ("client", Sends(HELLO_MASKED)),
            ("backend", Sees(HELLO_MASKED)),
            ("client", VANISHES),
            ("backend", SEES_END),
        ],
        ends(Reason.CLIENT),
    ),
    Case(
        "the client vanishes after the backend's Close",
        [
            ("backend", Sends(CLOSE)),
            ("client", Sees(CLOSE)),
            ("client", VANISHES),
            ("backend", SEES_END),
        ],
        ends(Reason.BACKEND, 1000),
    ),
)


async def take(wire: Wire, step: Sends | Sees | SeesClose | Does) -> None:
    match step:
        case Sends(data):
            await wire.send(data)
        case Sees(data):
            assert await wire.read(len(data)) == data
        case SeesClose(code, reason):
            assert (await wire.frame()).close == (code, reason)
        case Does.END:
            wire.end_output()
        case Does.VANISH:
            wire.reset()
        case Does.SEE_END:
            assert await wire.rest() == b""


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_how_a_tunnel_ends(engine: Waited, case: Case) -> None:
    async with tunnel(engine) as rig:
        for who, step in case.steps:
            await take(getattr(rig, who), step)
        end = await rig.owner.end()
    assert (end.reason, end.initiator, end.code) == case.end


@pytest.mark.parametrize("who", ["client", "backend"])
async def test_bytes_pass_unchanged_however_they_are_cut(engine: Waited, who: Who) -> None:
    mask = who == "client"
    sent = b"".join(
        frame(Opcode.BINARY, secrets.token_bytes(size), mask=mask)
        for size in (0, 1, 125, 126, 65535, 65536, 1 << 20)
    )
    async with tunnel(engine) as rig:
        source, sink = (rig.client, rig.backend) if mask else (rig.backend, rig.client)
        for byte in sent[:300]:
            await source.send(bytes((byte,)))
        received = asyncio.create_task(sink.read(len(sent)))
        await source.send(sent[300:])
        assert await received == sent


async def test_what_comes_with_the_handshake_goes_on_in_both_directions(engine: Waited) -> None:
    async with tunnel(engine, early=HELLO_MASKED, with_answer=HELLO) as rig:
        assert await rig.backend.read(len(HELLO_MASKED)) == HELLO_MASKED
        assert await rig.client.read(len(HELLO)) == HELLO


async def test_a_client_that_was_paused_during_the_handshake_is_read_again(engine: Waited) -> None:
    async with tunnel(engine, paused=True) as rig:
        await rig.client.send(HELLO_MASKED)
        assert await rig.backend.read(len(HELLO_MASKED)) == HELLO_MASKED


async def test_a_close_that_comes_with_the_101_ends_the_tunnel(engine: Waited) -> None:
    async with tunnel(engine, early=CLOSE_MASKED, with_answer=CLOSE) as rig:
        assert await rig.client.rest() == CLOSE
        assert await rig.backend.rest() == CLOSE_MASKED
        assert (await rig.owner.end()).code == 1000


async def test_a_client_that_has_left_meanwhile_costs_no_connection_to_the_backend(
    engine: Waited,
) -> None:
    class Gone:
        bare = True

        def take(self) -> tuple[asyncio.Transport, bytes]:
            raise ConnectionResetError

        def take_socket(self) -> tuple[int, bytes]:
            raise ConnectionResetError

    with listening() as listener:
        answering = asyncio.create_task(answer(listener, SWITCHING))
        with pytest.raises(ConnectionResetError):
            await engine.open(Gone(), dial(listener), judge, Limits(), Owner())
        backend = await answering
        assert await backend.rest() == b""
        backend.leave()


async def test_both_sides_get_the_sidecars_close_masked_as_their_peers_would(
    engine: Waited,
) -> None:
    async with tunnel(engine) as rig:
        rig.tunnel.end(Reason.IDLE, 1001, "bye")
        for wire, masked in ((rig.client, False), (rig.backend, True)):
            seen = await wire.frame()
            assert (seen.close, seen.masked) == ((1001, "bye"), masked)
        await rig.client.send(CLOSE_MASKED)
        await rig.backend.send(CLOSE)
        assert await rig.client.rest() == b""
        assert await rig.backend.rest() == b""
        assert await rig.owner.end() == End(Reason.IDLE, Initiator.SIDECAR, 1001, "bye")


async def test_after_the_sidecars_close_nothing_more_goes_out(engine: Waited) -> None:
    async with tunnel(engine) as rig:
        rig.tunnel.end(Reason.KILLED, 1001, "bye")
        await rig.client.send(HELLO_MASKED + CLOSE_MASKED)
        await rig.backend.send(HELLO + CLOSE)
        assert (await rig.client.frame()).close == (1001, "bye")
        assert (await rig.backend.frame()).close == (1001, "bye")
        assert await rig.client.rest() == b""
        assert await rig.backend.rest() == b""


async def test_the_sidecars_close_waits_for_the_end_of_a_frame_but_not_of_a_message(
    engine: Waited,
) -> None:
    first, rest = text("hel", mask=True, fin=False), more("lo", mask=True)
    async with tunnel(engine) as rig:
        await rig.client.send(first[:-1])
        assert await rig.backend.read(len(first) - 1) == first[:-1]
        rig.tunnel.end(Reason.DRAIN, 1001, "bye")
        assert (await rig.client.frame()).close == (1001, "bye")
        await rig.client.send(first[-1:] + rest + CLOSE_MASKED)
        assert await rig.backend.read(1) == first[-1:]
        assert (await rig.backend.frame()).close == (1001, "bye")
        rig.backend.leave()
        assert await rig.client.rest() == b""


async def test_the_first_end_is_the_one_that_counts(engine: Waited) -> None:
    async with tunnel(engine) as rig:
        rig.tunnel.end(Reason.IDLE, 1001, "first")
        rig.tunnel.end(Reason.DRAIN, 1012, "second")
        assert (await rig.client.frame()).close == (1001, "first")
        rig.client.reset()
        assert await rig.backend.frame()
        rig.backend.reset()
        assert (await rig.owner.end()).reason is Reason.IDLE


async def test_nothing_keeps_the_owner_of_a_tunnel_that_has_ended(engine: Waited) -> None:
    gc.disable()  # an owner may be none of what it looks at
    try:
        async with tunnel(engine) as rig:
            owner = weakref.ref(rig.owner)
        del rig
        assert owner() is None
    finally:
        gc.enable()


async def test_a_message_beyond_the_limit_does_not_reach_the_backend(engine: Waited) -> None:
    async with tunnel(engine, Limits(max_message=5)) as rig:
        await rig.client.send(HELLO_MASKED + text("hello!", mask=True))
        assert await rig.backend.read(len(HELLO_MASKED)) == HELLO_MASKED
        assert (await rig.backend.frame()).close == (1009, "message is too big")
        assert (await rig.client.frame()).close == (1009, "message is too big")
        await rig.client.send(CLOSE_MASKED)
        await rig.backend.send(CLOSE)
        end = await rig.owner.end()
        assert (end.reason, end.initiator, end.code) == (Reason.LIMIT, Initiator.SIDECAR, 1009)


@pytest.mark.parametrize(
    "said", [NO_FRAMES, CLOSE_MASKED + HELLO_MASKED], ids=["garbage", "more behind a Close"]
)
async def test_where_messages_have_a_limit_nothing_goes_out_that_is_not_parsed(
    engine: Waited, said: bytes
) -> None:
    async with tunnel(engine, Limits(max_message=5)) as rig:
        await rig.client.send(HELLO_MASKED + said)
        closed = said.startswith(CLOSE_MASKED)
        assert await rig.backend.read(len(HELLO_MASKED)) == HELLO_MASKED
        assert (await rig.backend.frame()).close == ((1000, "done") if closed else NOT_FRAMES)
        if not closed:
            assert (await rig.client.frame()).close == NOT_FRAMES
            rig.client.end_output()
        await rig.backend.send(CLOSE)
        assert await rig.backend.rest() == b""
        end = await rig.owner.end()
    if closed:
        assert (end.reason, end.code) == (Reason.CLIENT, 1000)
    else:
        assert (end.reason, end.initiator, end.code) == (Reason.LIMIT, Initiator.SIDECAR, 1002)


async def test_a_side_that_has_answered_the_sidecars_close_need_not_wait_for_the_other(
    engine: Waited,
) -> None:
    async with tunnel(engine) as rig:
        rig.tunnel.end(Reason.DRAIN, 1001, "bye")
        assert (await rig.client.frame()).close == (1001, "bye")
        await rig.client.send(CLOSE_MASKED)
        assert await rig.client.rest() == b""
        assert not rig.owner.told
        await rig.backend.send(HELLO + CLOSE)
        assert (await rig.backend.frame()).close == (1001, "bye")
        assert await rig.backend.rest() == b""


@pytest.mark.parametrize("said", [CLOSE, HELLO + CLOSE], ids=["a Close", "a message and a Close"])
async def test_what_a_backend_said_before_it_broke_reaches_the_client(
    engine: Waited, said: bytes
) -> None:
    """With input that it has not read a connection ends in a reset, which fails our writing."""
    async with tunnel(engine) as rig:
        if isinstance(rig.tunnel, AsyncioTunnel):  # the other one is too fast, and need not wait
            rig.tunnel.backend.transport.pause_reading()
        await rig.backend.send(said)
        rig.backend.reset()
        await rig.client.send(HELLO_MASKED)
        assert await rig.client.read(len(said)) == said
        await rig.client.send(CLOSE_MASKED)
        assert await rig.client.rest() == b""
        end = await rig.owner.end()
        assert (end.reason, end.code) == (Reason.BACKEND, 1000)


ROOM: Final = 6 << 20
"""Bytes that may be on their way to who does not read: the kernel takes up to 4 MiB of them."""


PIECE: Final = 1 << 16


def passed_by(tunnel: Tunnel, sender: Who) -> int:
    stats = tunnel.stats()
    return stats.bytes_in if sender == "client" else stats.bytes_out


@pytest.mark.parametrize("sender", ["client", "backend"])
async def test_a_reader_that_stalls_stops_the_sender_and_loses_nothing(
    engine: Waited, sender: Who
) -> None:
    sent = frame(Opcode.BINARY, secrets.token_bytes(16 << 20), mask=sender == "client")
    async with tunnel(engine, buffer=64 * 1024) as rig:
        writer, reader = rig.client, rig.backend
        if sender == "backend":
            writer, reader = reader, writer
        received = b""

        def on_their_way() -> int:
            return passed_by(rig.tunnel, sender) - len(received)

        sending = asyncio.create_task(writer.send(sent))
        while len(received) < len(sent):
            await eventually(lambda: on_their_way() > 0)
            assert on_their_way() <= ROOM
            received += await reader.read(min(PIECE, on_their_way()))
        assert received == sent
        await sending


async def test_a_stalled_client_stops_what_comes_with_the_answer_too(engine: Waited) -> None:
    sent = frame(Opcode.BINARY, bytes(16 << 20), mask=False)
    client, accepted = client_pair(buffer=4096)
    owner = Owner()
    with listening() as listener:
        answering = asyncio.create_task(answer(listener, SWITCHING + sent))
        assert await engine.open(accepted, dial(listener), judge, Limits(), owner) is None
        await eventually(lambda: passed_by(owner.tunnel, "backend") > 0)
        assert await client.read(len(SWITCHING)) == SWITCHING
        assert passed_by(owner.tunnel, "backend") <= ROOM
        assert await client.read(len(sent)) == sent
        (await answering).leave()
    client.leave()
    await owner.end()


async def test_what_a_stalled_reader_has_not_taken_still_reaches_it_before_the_end(
    engine: Waited,
) -> None:
    sent = frame(Opcode.BINARY, bytes(1 << 20), mask=False)
    async with tunnel(engine, buffer=16 * 1024) as rig:
        sending = asyncio.create_task(rig.backend.send(sent + CLOSE))
        await eventually(lambda: passed_by(rig.tunnel, "backend") > 0)
        reading = asyncio.create_task(rig.client.read(len(sent + CLOSE)))
        await sending
        rig.backend.end_output()
        assert await reading == sent + CLOSE
        assert await rig.client.rest() == b""


LARGE: Final = 300_000
"""Bytes of a frame that the native engine moves without a copy, but for the first ones."""


def large(mask: bool) -> bytes:
    """Messages of large frames: whole, in fragments, and with small frames in between."""
    frames = [
        (Opcode.BINARY, 2 * LARGE, True),
        (Opcode.BINARY, LARGE, False),
        (Opcode.PING, 125, True),
        (Opcode.CONT, LARGE, False),
        (Opcode.CONT, 1, True),
        (Opcode.TEXT, 5, True),
        *[(Opcode.BINARY, LARGE + size, True) for size in range(20)],
        (Opcode.BINARY, 12 << 20, True),
        (Opcode.TEXT, 0, True),
    ]
    return b"".join(
        frame(opcode, secrets.token_bytes(size), mask=mask, fin=fin) for opcode, size, fin in frames
    )


LARGE_MESSAGES: Final = 25


@pytest.mark.parametrize("buffer", [None, 16 * 1024], ids=["wide", "narrow"])
async def test_large_messages_pass_unchanged_both_ways_at_once(
    engine: Waited, buffer: int | None
) -> None:
    up, down = large(mask=True), large(mask=False)
    async with tunnel(engine, buffer=buffer) as rig:
        async with asyncio.TaskGroup() as group:
            group.create_task(rig.client.send(up))
            group.create_task(rig.backend.send(down))
            seen_up = group.create_task(rig.backend.read(len(up)))
            seen_down = group.create_task(rig.client.read(len(down)))
        assert seen_up.result() == up
        assert seen_down.result() == down
        stats = rig.tunnel.stats()
        assert (stats.bytes_in, stats.bytes_out) == (len(up), len(down))
        assert (stats.messages_in, stats.messages_out) == (LARGE_MESSAGES, LARGE_MESSAGES)


async def test_the_sidecars_close_waits_for_the_end_of_a_large_frame_that_is_taken_slowly(
    engine: Waited,
) -> None:
    sent = frame(Opcode.BINARY, secrets.token_bytes(4 << 20), mask=False)
    async with tunnel(engine, buffer=16 * 1024) as rig:
        sending = asyncio.create_task(rig.backend.send(sent))
        begun = await rig.client.read(1 << 20)
        rig.tunnel.end(Reason.DRAIN, 1001, "bye")
        assert (await rig.backend.frame()).close == (1001, "bye")
        assert begun + await rig.client.read(len(sent) - len(begun)) == sent
        assert (await rig.client.frame()).close == (1001, "bye")
        await sending


async def test_a_client_that_vanishes_within_a_large_frame_ends_the_tunnel(engine: Waited) -> None:
    sent = frame(Opcode.BINARY, bytes(16 << 20), mask=False)
    async with tunnel(engine, buffer=64 * 1024) as rig:
        sending = asyncio.create_task(rig.backend.send(sent))
        await rig.client.read(4 << 20)
        rig.client.reset()
        with contextlib.suppress(ConnectionError):
            await sending
        rig.backend.leave()
        end = await rig.owner.end()
        assert (end.reason, end.initiator) == (Reason.CLIENT, Initiator.CLIENT)


async def test_of_large_fragments_none_goes_out_that_makes_the_message_too_big(
    engine: Waited,
) -> None:
    first = frame(Opcode.BINARY, secrets.token_bytes(LARGE), mask=True, fin=False)
    second = frame(Opcode.CONT, bytes(LARGE), mask=True)
    async with tunnel(engine, Limits(max_message=2 * LARGE - 1)) as rig:
        sending = asyncio.create_task(rig.client.send(first + second))
        assert await rig.backend.read(len(first)) == first
        assert (await rig.backend.frame()).close == (1009, "message is too big")
        assert (await rig.client.frame()).close == (1009, "message is too big")
        await sending
        await rig.client.send(CLOSE_MASKED)
        await rig.backend.send(CLOSE)
        assert (await rig.owner.end()).reason is Reason.LIMIT


async def test_tunnels_that_are_overdue_again_at_once_leave_the_others_their_deadlines() -> None:
    engine = AsyncioEngine(asyncio.get_running_loop())
    due: list[str] = []

    class Overdue:
        def __init__(self, name: str) -> None:
            self.name = name

        def due(self, now: float) -> None:
            due.append(self.name)
            if due.count(self.name) == 1:
                engine.schedule(cast(AsyncioTunnel, self), now - 1)

    for name in "abc":
        engine.schedule(cast(AsyncioTunnel, Overdue(name)), engine.time())
    await eventually(lambda: sorted(due) == list("aabbcc"))


async def test_nothing_is_written_to_a_connection_that_has_begun_to_close_by_itself() -> None:
    class Closing(asyncio.Transport):
        """What asyncio's TLS is after its peer's end: it warns of what is written to it."""

        def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
            """It has nothing to write."""

        def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
            """It has nothing to tell."""

        def is_closing(self) -> bool:
            return True

    engine = AsyncioEngine(asyncio.get_running_loop())
    opened = AsyncioTunnel(engine, Limits(), Owner())
    opened.client.attach(Closing())

    opened.backend.data_received(HELLO)  # `write` is not implemented here

    assert opened.stats().bytes_out == len(HELLO)
