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
    Begun,
    Judge,
    Owner,
    Waited,
    answer,
    client_pair,
    dial,
    judge,
    listening,
    tunnel,
)
from tests.support.wire import Wire, text
from wsroute_sidecar.dial import Switching
from wsroute_sidecar.handshake import Answer
from wsroute_sidecar.native import NativeEngine
from wsroute_sidecar.relay_types import DialError, Initiator, Limits, Reason, Tunnel

HELLO = text("hello", mask=False)
EARLY = text("early", mask=True)


@pytest_asyncio.fixture
async def native() -> AsyncIterator[NativeEngine]:
    with closing(NativeEngine(asyncio.get_running_loop())) as engine:
        yield engine


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


def open_unheard(native: NativeEngine) -> tuple[Wire, Wire, Owner, Begun]:
    """A tunnel whose client has its 101 before its owner knows of it."""
    client, accepted = client_pair()
    owner = Owner()
    with listening() as listener:
        begun = Begun(native, accepted, dial(listener), judge, Limits(), owner=owner)
        backend = answer_at_once(listener, SWITCHING)
    assert read_at_once(client, len(SWITCHING)) == SWITCHING
    return client, backend, owner, begun


@pytest.mark.parametrize("judged", [False, True])
async def test_who_has_no_transport_gets_a_tunnel_whoever_judges_the_answer(
    native: NativeEngine, judged: bool
) -> None:
    client, accepted = client_pair(early=EARLY)
    owner = Owner()
    with listening() as listener:
        answering = asyncio.create_task(answer(listener, SWITCHING + HELLO))
        who = Judge(None) if judged else judge
        begun = Begun(native, accepted, dial(listener), who, Limits(), owner=owner)
        assert await begun.came() is None
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
    client, backend, owner, begun = open_unheard(native)
    client.leave()
    backend.leave()
    assert native.calling == 1
    assert await begun.came() is None
    assert native.calling == 0
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
        await Begun(native, accepted, dial(listener), judge, Limits(), owner=owner).came()
        backend = await answering
    assert await client.read(len(SWITCHING)) == SWITCHING
    assert (await client.frame()).close == (1001, "bye")
    client.leave()
    backend.leave()
    assert (await owner.end()).reason == Reason.DRAIN


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
    async with tunnel(Waited(native)) as other:
        with listening() as listener:
            answering = asyncio.create_task(answer(listener, SWITCHING))
            await Begun(native, accepted, dial(listener), Busy(None), Limits(), owner=owner).came()
            backend = await answering
        assert await backend.rest() == EARLY
        backend.leave()
        client.leave()
        await owner.end()


async def test_a_client_that_leaves_before_the_answer_ends_the_call(native: NativeEngine) -> None:
    client, accepted = client_pair()
    owner = Owner()
    with listening() as listener:
        begun = Begun(native, accepted, dial(listener), judge, Limits(), owner=owner)
        backend = await answer(listener, b"")
        client.leave()
        with pytest.raises(ConnectionResetError):
            await begun.came()
        assert await backend.rest() == b""
    backend.leave()
    assert begun.left
    assert owner.subprotocol is None
    assert native.calling == 0


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
            begun = Begun(native, accepted, dial(listener), judge, Limits(), owner=Owner())
            refused = await begun.came()
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


@pytest.mark.parametrize(
    ("host", "takes"),
    [("127.0.0.1", True), ("::1", True), ("localhost", False), ("fe80::1%lo", False)],
)
async def test_a_descriptor_is_taken_where_the_backends_host_needs_no_resolver(
    native: NativeEngine, host: str, takes: bool
) -> None:
    assert native.takes(host) == takes
