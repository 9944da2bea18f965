"""What only the native engine does: a plain 101 opens a tunnel before the interpreter knows."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import closing, suppress

import pytest
import pytest_asyncio

pytest.importorskip("wsroute_sidecar._relay")

from tests.sidecar.relay_rig import (
    REQUEST,
    SWITCHING,
    Accepted,
    Judge,
    Owner,
    answer,
    client_pair,
    dial,
    judge,
    listening,
    tunnel,
)
from tests.support.wire import Wire, text
from wsroute_sidecar.dial import Switching
from wsroute_sidecar.engines import Engine
from wsroute_sidecar.handshake import Answer
from wsroute_sidecar.native import NativeEngine
from wsroute_sidecar.relay_types import Dial, DialError, Initiator, Limits, Reason, Tunnel

HELLO = text("hello", mask=False)
EARLY = text("early", mask=True)


@pytest_asyncio.fixture
async def native() -> AsyncIterator[NativeEngine]:
    with closing(NativeEngine(asyncio.get_running_loop())) as engine:
        yield engine


def opening(
    engine: Engine, accepted: Accepted, listener: socket.socket, owner: Owner
) -> asyncio.Task[object]:
    return asyncio.create_task(engine.open(accepted, dial(listener), judge, Limits(), owner))


def answer_at_once(listener: socket.socket, reply: bytes) -> Wire:
    """As `answer`, while the event loop has no turn."""
    listener.setblocking(True)
    sock, _ = listener.accept()
    assert sock.recv(1000) == REQUEST
    sock.sendall(reply)
    return Wire(sock)


def read_at_once(client: Wire, size: int) -> bytes:
    client.sock.setblocking(True)
    try:
        return client.sock.recv(size, socket.MSG_WAITALL)
    finally:
        client.sock.setblocking(False)


async def open_unheard(native: NativeEngine) -> tuple[Wire, Wire, Owner, asyncio.Task[object]]:
    """A tunnel whose client has its 101 before who waits for it, and its owner, know of it."""
    client, accepted = client_pair()
    owner = Owner()
    with listening() as listener:
        task = opening(native, accepted, listener, owner)
        await asyncio.sleep(0)
        backend = answer_at_once(listener, SWITCHING)
    assert read_at_once(client, len(SWITCHING)) == SWITCHING
    return client, backend, owner, task


@pytest.mark.parametrize("judged", [False, True])
async def test_who_has_no_transport_gets_a_tunnel_whoever_judges_the_answer(
    native: NativeEngine, judged: bool
) -> None:
    client, accepted = client_pair(early=EARLY)
    owner = Owner()
    with listening() as listener:
        answering = asyncio.create_task(answer(listener, SWITCHING + HELLO))
        who = Judge(None) if judged else judge
        assert await native.open(accepted, dial(listener), who, Limits(), owner) is None
        backend = await answering
    assert owner.subprotocol == ("judged" if judged else "")
    assert await client.read(len(SWITCHING + HELLO)) == SWITCHING + HELLO
    assert await backend.read(len(EARLY)) == EARLY
    client.leave()
    assert await backend.rest() == b""
    backend.leave()
    assert (await owner.end()).initiator == Initiator.CLIENT


async def test_a_tunnel_is_open_before_the_interpreter_knows_and_may_have_ended(
    native: NativeEngine,
) -> None:
    client, backend, owner, task = await open_unheard(native)
    client.leave()
    backend.leave()
    assert await task is None
    assert (await owner.end()).initiator in (Initiator.CLIENT, Initiator.BACKEND)


async def test_what_is_done_to_a_tunnel_as_soon_as_it_is_told_reaches_it(
    native: NativeEngine,
) -> None:
    class Doomed(Owner):
        def opened(self, tunnel: Tunnel, subprotocol: str) -> None:
            super().opened(tunnel, subprotocol)
            self.tunnel.end(Reason.DRAIN, 1001, "bye")

    client, accepted = client_pair()
    owner = Doomed()
    with listening() as listener:
        answering = asyncio.create_task(answer(listener, SWITCHING))
        await native.open(accepted, dial(listener), judge, Limits(), owner)
        backend = await answering
    assert await client.read(len(SWITCHING)) == SWITCHING
    assert (await client.frame()).close == (1001, "bye")
    client.leave()
    backend.leave()
    assert (await owner.end()).reason == Reason.DRAIN


async def test_who_stops_waiting_when_the_tunnel_is_open_already_ends_it(
    native: NativeEngine,
) -> None:
    client, backend, owner, task = await open_unheard(native)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await client.frame()).close == (1001, "")
    client.leave()
    backend.leave()
    assert owner.subprotocol is None
    async with tunnel(native) as one, tunnel(native) as another:  # each has a name of its own
        for rig in (one, another):
            await rig.client.send(EARLY)
            assert await rig.backend.read(len(EARLY)) == EARLY
    assert not owner.told


async def test_what_a_client_sends_while_the_answer_is_judged_reaches_the_backend_with_its_end(
    native: NativeEngine,
) -> None:
    class Busy(Judge):
        def __call__(self, raw: bytes) -> Switching | Answer:
            client.sock.send(EARLY)
            client.end_output()
            other.client.sock.send(EARLY)
            assert read_at_once(other.backend, len(EARLY)) == EARLY  # so the engine has seen it
            return super().__call__(raw)

    client, accepted = client_pair()
    owner = Owner()
    async with tunnel(native) as other:
        with listening() as listener:
            answering = asyncio.create_task(answer(listener, SWITCHING))
            await native.open(accepted, dial(listener), Busy(None), Limits(), owner)
            backend = await answering
        assert await backend.rest() == EARLY
        backend.leave()
        client.leave()
        await owner.end()


async def test_a_client_that_leaves_before_the_answer_ends_the_call(native: NativeEngine) -> None:
    client, accepted = client_pair()
    owner = Owner()
    with listening() as listener:
        task = opening(native, accepted, listener, owner)
        backend = await answer(listener, b"")
        client.leave()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await backend.rest() == b""
    backend.leave()
    assert owner.subprotocol is None


@pytest.mark.parametrize(
    "reply", [b"HTTP/1.1 403 Forbidden\r\n\r\n", b"nonsense\r\n\r\n", pytest.param(None, id="none")]
)
async def test_a_client_that_gets_no_tunnel_can_be_answered(
    native: NativeEngine, reply: bytes | None
) -> None:
    client, accepted = client_pair()
    with listening() as listener:
        if reply is None:
            listener.shutdown(socket.SHUT_RDWR)
        else:
            answering = asyncio.create_task(answer(listener, reply))
        with suppress(DialError):
            refused = await native.open(accepted, dial(listener), judge, Limits(), Owner())
            assert refused is not None
            refused.transport.abort()
        if reply is not None:
            backend = await answering
            assert await backend.rest() == b""
            backend.leave()
    await accepted.settle()
    accepted.transport.write(b"no")
    accepted.transport.close()
    assert await client.rest() == b"no"
    client.leave()


async def test_a_client_can_be_answered_where_the_backends_address_has_a_zone(
    native: NativeEngine,
) -> None:
    client, accepted = client_pair()
    zoned = Dial("fe80::1%lo", 1, REQUEST, 0.1)
    with pytest.raises(DialError):
        await native.open(accepted, zoned, judge, Limits(), Owner())
    await accepted.settle()
    accepted.transport.write(b"no")
    accepted.transport.close()
    assert await client.rest() == b"no"
    client.leave()
