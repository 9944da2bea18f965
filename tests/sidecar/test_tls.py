"""TLS connections in memory: how many there may be, how long a handshake may take."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Final

import pytest

from tests.support.tls import issue, trust
from wsroute_sidecar.adapter import HEAD_TIMEOUT, Exchange, Finished, Server
from wsroute_sidecar.tls import Certificate, Secured

MOST: Final = 2


async def never(exchange: Exchange) -> Finished:
    raise AssertionError(exchange.target)


class Line(asyncio.Transport):
    """A connection in memory."""

    def __init__(self, secured: Secured) -> None:
        super().__init__()
        self.sent = b""
        self.waiting = 0
        self.cut = False
        self.reading = True
        protocol = secured()
        assert isinstance(protocol, asyncio.BufferedProtocol)
        self.protocol: Final = protocol
        protocol.connection_made(self)

    def receive(self, data: bytes) -> None:
        """Let `data` come."""
        buffer = memoryview(self.protocol.get_buffer(len(data)))
        buffer[: len(data)] = data
        self.protocol.buffer_updated(len(data))

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        assert high == 1

    def get_write_buffer_size(self) -> int:
        return self.waiting

    def write(self, data: bytes | bytearray | memoryview[int]) -> None:
        self.sent += data

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def is_closing(self) -> bool:
        return self.cut

    def abort(self) -> None:
        self._force_close(None)

    def _force_close(self, exc: Exception | None) -> None:
        self.cut = True
        asyncio.get_running_loop().call_soon(self.protocol.connection_lost, exc)


class Client:
    """A client's half of TLS, in memory."""

    def __init__(self, folder: Path) -> None:
        self.come: Final = ssl.MemoryBIO()
        self.go: Final = ssl.MemoryBIO()
        self.tls: Final = trust(folder).wrap_bio(self.come, self.go, server_hostname="localhost")

    def shake(self, line: Line) -> None:
        """Shake hands over `line`."""
        while True:
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                line.receive(self.go.read())
                self.come.write(line.sent)
                line.sent = b""
            else:
                line.receive(self.go.read())
                return


async def end(line: Line) -> None:
    line.abort()
    await asyncio.sleep(0)


@pytest.fixture
async def secured(tmp_path: Path) -> Secured:
    issue(tmp_path, "localhost")
    server = Server(never, lambda connections: connections > MOST)
    return Certificate(tmp_path / "tls.crt", tmp_path / "tls.key").secured(server)


@pytest.mark.looptime
async def test_a_handshake_has_a_deadline(secured: Secured) -> None:
    line = Line(secured)
    await asyncio.sleep(HEAD_TIMEOUT - 0.1)
    assert not line.cut
    await asyncio.sleep(0.2)
    assert line.cut
    assert not secured.handshakes


async def test_a_handshake_counts_as_a_connection_until_it_is_done(
    secured: Secured, tmp_path: Path
) -> None:
    lines = [Line(secured) for _ in range(MOST + 1)]
    await asyncio.sleep(0)
    assert [line.cut for line in lines] == [False] * MOST + [True]
    assert len(secured.handshakes) == MOST

    Client(tmp_path).shake(lines[0])
    assert len(secured.handshakes) == MOST - 1
    late = Line(secured)
    await asyncio.sleep(0)
    assert late.cut
    for line in lines[:MOST]:
        await end(line)


async def test_what_is_no_tls_is_cut_and_forgotten(secured: Secured) -> None:
    line = Line(secured)
    line.receive(b"GET / HTTP/1.1\r\n\r\n")
    await asyncio.sleep(0)
    assert line.cut
    assert not secured.handshakes


async def test_a_piece_is_small_and_no_further_one_is_read_before_it_is_taken(
    secured: Secured, tmp_path: Path
) -> None:
    line, client = Line(secured), Client(tmp_path)
    client.shake(line)
    transport = secured.server.connections[0].transport
    assert transport is not None
    transport.pause_reading()
    client.tls.write(b"GET / HTTP/1.1\r\n")
    line.receive(client.go.read())
    assert not line.reading
    assert len(memoryview(line.protocol.get_buffer(1 << 20))) <= 16 * 1024
    await end(line)


async def test_what_the_connection_below_has_not_sent_counts_as_waiting(
    secured: Secured, tmp_path: Path
) -> None:
    line = Line(secured)
    Client(tmp_path).shake(line)
    transport = secured.server.connections[0].transport
    assert transport is not None
    line.waiting = 1000
    assert transport.get_write_buffer_size() == 1000
    await end(line)
