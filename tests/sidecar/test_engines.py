"""Choosing an engine, and how each calls the backend."""

from __future__ import annotations

import asyncio
import socket
import sys
from pathlib import Path

import pytest
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
from tests.support.wire import frame
from wsroute_sidecar import engines
from wsroute_sidecar.dial import Refused
from wsroute_sidecar.relay import AsyncioTunnel
from wsroute_sidecar.relay_types import DialError, Limits

ORDINARY = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\n"
INTERIM = b"HTTP/1.1 103 Early Hints\r\n\r\n"


async def called(engine: Waited, listener: socket.socket, limit: float = 5.0) -> Refused | None:
    client, accepted = client_pair()
    try:
        return await engine.open(accepted, dial(listener, limit), judge, Limits(), Owner())
    finally:
        client.leave()
        accepted.leave()


@pytest.mark.parametrize(
    ("reply", "status", "cause"),
    [
        pytest.param(b"", 502, "backend_answer", id="closes"),
        pytest.param(b"nonsense\r\n\r\n", 502, "backend_answer", id="no HTTP"),
        pytest.param(b"HTTP/1.1 101" + b"x" * 70_000, 502, "backend_answer", id="too long"),
    ],
)
async def test_an_answer_that_is_none_is_an_error(
    engine: Waited, reply: bytes, status: int, cause: str
) -> None:
    async def reply_and_leave() -> None:
        (await answer(listener, reply)).leave()

    with listening() as listener:
        answering = asyncio.create_task(reply_and_leave())
        with pytest.raises(DialError) as error:
            await called(engine, listener)
        await answering
    assert (error.value.status, error.value.cause) == (status, cause)


async def test_a_backend_that_does_not_listen_is_unreachable(engine: Waited) -> None:
    with listening() as listener:
        listener.shutdown(socket.SHUT_RDWR)
        with pytest.raises(DialError) as error:
            await called(engine, listener)
    assert (error.value.status, error.value.cause) == (502, "backend_unreachable")


async def test_a_backend_that_does_not_answer_in_time_is_given_up(engine: Waited) -> None:
    with listening() as listener:
        answering = asyncio.create_task(answer(listener, b"HTTP/1.1 101"))
        with pytest.raises(DialError) as error:
            await called(engine, listener, 0.1)
        backend = await answering
        assert await backend.rest() == b""
        backend.leave()
    assert (error.value.status, error.value.cause) == (504, "backend_timeout")


@pytest.mark.parametrize("engine", ["asyncio", "native"], indirect=True)
async def test_who_stops_waiting_leaves_no_connection_to_the_backend(engine: Waited) -> None:
    with listening() as listener:
        calling = asyncio.create_task(called(engine, listener))
        backend = await answer(listener, b"")
        calling.cancel()
        assert await backend.rest() == b""
        backend.leave()
    assert calling.cancelled()


async def test_an_ordinary_response_comes_back_with_its_connection(engine: Waited) -> None:
    with listening() as listener:
        answering = asyncio.create_task(answer(listener, INTERIM + ORDINARY + b"n"))
        refused = await called(engine, listener)
        assert isinstance(refused, Refused)
        assert refused.early.startswith(ORDINARY)
        refused.transport.abort()
        backend = await answering
        assert await backend.rest() == b""
        backend.leave()


async def test_an_interim_response_is_passed_by(engine: Waited) -> None:
    with listening() as listener:
        answering = asyncio.create_task(answer(listener, INTERIM + SWITCHING))
        assert await called(engine, listener) is None
        (await answering).leave()


async def test_a_client_that_is_more_than_a_socket_stays_with_the_event_loop(
    engine: Waited,
) -> None:
    client, accepted = client_pair()
    accepted.bare = False
    owner = Owner()
    with listening() as listener:
        answering = asyncio.create_task(answer(listener, SWITCHING))
        await engine.open(accepted, dial(listener), judge, Limits(), owner)
        assert isinstance(owner.tunnel, AsyncioTunnel)
        (await answering).leave()
    client.leave()
    await owner.end()


async def test_without_the_native_engine_asyncios_serves_unless_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "wsroute_sidecar._relay", None)
    monkeypatch.delitem(sys.modules, "wsroute_sidecar.native", raising=False)
    for name in ("auto", "asyncio"):
        with engines.running(name) as engine:
            assert engine.name == "asyncio"
    with pytest.raises(ValueError, match="--relay native: it is not built here"):
        engines.running("native").__enter__()


def pipes() -> int:
    return sum(opened(link).startswith("pipe:") for link in Path("/proc/self/fd").iterdir())


def opened(link: Path) -> str:
    try:
        return str(link.readlink())
    except FileNotFoundError:  # closed since it was listed
        return ""


@pytest.mark.parametrize("engine", ["native"], indirect=True)
async def test_large_messages_take_no_pipe_beyond_the_engines_one(engine: Waited) -> None:
    sent = 2 * frame(Opcode.BINARY, bytes(4 << 20), mask=True)
    before = pipes()
    for _ in range(3):
        async with tunnel(engine, buffer=64 * 1024) as rig:
            sending = asyncio.create_task(rig.client.send(sent))
            assert await rig.backend.read(len(sent)) == sent
            await sending
    assert pipes() == before
