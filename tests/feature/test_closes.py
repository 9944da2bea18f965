"""Why the sidecar ends a tunnel: both sides read it in a Close, and the access line says it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.frames import Opcode

from tests.support.backend import Backend
from tests.support.sidecar import Sidecar, both_engines, route
from tests.support.wire import parse

pytestmark = both_engines

LIMIT: Final = 20.0

Provoke = Callable[[Sidecar, ClientConnection], Awaitable[object]]


class Case(NamedTuple):
    reason: str
    code: int
    text: str
    rule: dict[str, Any]
    provoke: Provoke


async def wait(sidecar: Sidecar, client: ClientConnection) -> None:
    """It comes by itself."""


async def change(sidecar: Sidecar, client: ClientConnection) -> None:
    await asyncio.to_thread(sidecar.reload, [])


async def drain(sidecar: Sidecar, client: ClientConnection) -> None:
    await asyncio.to_thread(sidecar.ask, "POST", "/v1/drain")


async def kill(sidecar: Sidecar, client: ClientConnection) -> None:
    (listed,) = await asyncio.to_thread(sidecar.connections)
    order = {"id": listed["id"], "code": 4001, "reason": "log in again"}
    await asyncio.to_thread(sidecar.ask, "POST", "/v1/close", order)


async def exceed(sidecar: Sidecar, client: ClientConnection) -> None:
    await client.send(b"x" * 2000)


SOON: Final = {"timeout": "100ms", "closeCode": 1012}
CASES: Final = (
    Case(
        "idle",
        1001,
        "connection was idle for too long",
        {"connection": {"idleTimeout": "200ms"}},
        wait,
    ),
    Case(
        "max_duration",
        1001,
        "connection reached its maximum duration",
        {"connection": {"maxDuration": "200ms"}},
        wait,
    ),
    Case("drain", 1012, "pod is going away", {"drain": SOON}, drain),
    Case(
        "route_change",
        1012,
        "route has changed",
        {"drain": {**SOON, "onRouteChange": "Drain"}},
        change,
    ),
    Case("limit", 1009, "message is too big", {"limits": {"maxMessageSize": "1Ki"}}, exceed),
    Case("killed", 4001, "log in again", {}, kill),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.reason)
async def test_both_sides_are_told_why_the_sidecar_ends_a_tunnel(case: Case) -> None:
    with Backend() as backend, Sidecar([route(backend.port, **case.rule)]) as sidecar:
        uri = f"ws://127.0.0.1:{sidecar.port}/"
        async with connect(uri, compression=None, ping_interval=None) as client:
            await case.provoke(sidecar, client)
            async with asyncio.timeout(LIMIT):
                with pytest.raises(ConnectionClosed) as ended:
                    await client.recv()
        line = await asyncio.to_thread(sidecar.logged, "tunnel_ended")
        await asyncio.to_thread(backend.settle)
        assert sidecar.errors() == []
    assert ended.value.rcvd is not None
    assert (ended.value.rcvd.code, ended.value.rcvd.reason) == (case.code, case.text)
    (seen,) = parse(backend.received.partition(b"\r\n\r\n")[2])
    assert (seen.opcode, seen.masked, seen.close) == (Opcode.CLOSE, True, (case.code, case.text))
    told = (line["reason"], line["initiator"], line["code"], line["detail"])
    assert told == (case.reason, "sidecar", case.code, case.text)
