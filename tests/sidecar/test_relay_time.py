"""The relay engine in virtual time: what the clock does to a tunnel, and what it must not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from websockets.exceptions import ProtocolError
from websockets.frames import Opcode

from tests.sidecar.relay_rig import NO_LIMITS, Owner
from tests.support.wire import Seen, frame, parse
from wsroute_sidecar.relay import AsyncioEngine, AsyncioTunnel, Side
from wsroute_sidecar.relay_types import CLOSE_TIMEOUT, Initiator, Limits, Reason

pytestmark = pytest.mark.looptime

LATE: Final = 0.25
"""Seconds by which a deadline may be missed, and those before it that it follows."""


class Case(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    steps: Sequence[Sequence[Any]]
    limits: Limits = NO_LIMITS


class Table(msgspec.Struct, forbid_unknown_fields=True):
    about: list[str]
    cases: list[Case]


CASES: Final = msgspec.json.decode(
    Path(__file__).with_name("time_cases.json").read_bytes(), type=Table
).cases


class Line(asyncio.Transport):
    """A connection in memory, whose far end may stop to read."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = bytearray()
        self.waiting = 0
        self.ended = False
        self.closed = False
        self.seen_end = False
        self.own: bytes | None = None
        """Payload of the sidecar's pings to the far end."""

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        assert isinstance(protocol, Side)
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
            self.closed = self.ended = True
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)

    abort = close

    # What the far end does and sees, in the table's words.

    def sends(self, what: str) -> None:
        name, _, payload = what.partition(" ")
        if opcode := Opcode.__members__.get(name.upper()):
            data = self.own or b"" if payload == "own" else payload.encode()
            if opcode is Opcode.CLOSE:
                data = int(payload).to_bytes(2, "big")
            mask = self.protocol.initiator is Initiator.CLIENT
            self.protocol.data_received(frame(opcode, data, mask=mask))
        else:
            self.protocol.data_received(bytes.fromhex(what))

    def stops(self, what: str) -> None:
        if what == "sending":
            self.protocol.eof_received()
        else:
            self.waiting = 100_000
            self.protocol.pause_writing()

    def reads(self, what: str) -> None:
        if what == "all":
            self.waiting = 0
            self.protocol.resume_writing()
        else:
            self.waiting -= 10_000

    def gets(self) -> Iterator[str]:
        """What has come since the last look."""
        data = bytes(self.sent)
        self.sent.clear()
        try:
            yield from map(self._named, parse(data))
        except (EOFError, ProtocolError):
            yield data.hex()
        if self.ended and not self.seen_end:
            self.seen_end = True
            yield "the end"

    def _named(self, seen: Seen) -> str:
        if seen.opcode is Opcode.CLOSE:
            code, text = seen.close
            return f"close {code} {text}".rstrip()
        if seen.opcode is Opcode.PING and len(seen.data) == 8:
            self.own = seen.data
        payload = "own" if seen.data == self.own else seen.data.decode()
        return f"{seen.opcode.name.lower()} {payload}"


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
        self._told = False

    def do(self, step: str) -> bool:
        """Whether this is to be done, and not seen."""
        who, verb, what = (*step.split(" ", 2), "")[:3]
        if verb == "ends":
            reason, code, text = what.split(" ", 2)
            self.tunnel.end(Reason(reason), int(code), text)
        elif verb in {"sends", "stops", "reads"}:
            getattr(self.client if who == "client" else self.backend, verb)(what)
        else:
            return False
        return True

    async def seen(self) -> list[str]:
        """What has become of it since the last look."""
        await asyncio.sleep(0)  # a connection that was closed is told so in the next turn
        ends = {"client": self.client, "backend": self.backend}
        seen = [
            f"{who} gets {what}"
            for who, line in ends.items()
            if not line.waiting
            for what in line.gets()
        ]
        seen += [f"{side} answered" for side, _ in self.owner.pongs]
        self.owner.pongs.clear()
        if self.owner.told and not self._told:
            self._told = True
            end = await self.owner.end()
            seen.append(f"over {end.reason} {end.initiator} {json.dumps(end.code)}")
        return seen


async def until(moment: float) -> None:
    await asyncio.sleep(moment - asyncio.get_running_loop().time())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_the_clock_does_what_the_table_says(case: Case) -> None:
    rig = Rig(case.limits)
    for moment, *steps in case.steps:
        await until(moment - 0.001)
        assert not await rig.seen()
        await until(moment)
        seen = []
        for step in steps:
            if rig.do(step):
                seen += [step, *await rig.seen()]
        await until(moment + LATE)
        assert [*seen, *await rig.seen()] == steps


async def test_a_client_that_does_not_answer_for_a_backend_that_broke_is_cut() -> None:
    rig = Rig()
    rig.backend.close()
    await until(CLOSE_TIMEOUT - 0.001)
    assert not rig.owner.told
    await until(CLOSE_TIMEOUT + LATE)
    assert rig.client.closed
    assert (await rig.owner.end()).reason is Reason.BACKEND


@pytest.mark.parametrize(
    "ages", [pytest.param([3.0, 1.0, 2.0], id="any order"), pytest.param([2.0] * 3, id="at once")]
)
async def test_one_clock_serves_many_tunnels(ages: Sequence[float]) -> None:
    engine = AsyncioEngine(asyncio.get_running_loop())
    rigs = [Rig(Limits(max_age=age), engine) for age in ages]
    for moment in range(1, 4):
        await until(moment + LATE)
        assert [bool(rig.client.sent) for rig in rigs] == [age <= moment for age in ages]
