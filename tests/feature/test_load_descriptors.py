"""More connections than there are file descriptors for."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.bench.processes import cpu_seconds
from tests.support.echo import echoing
from tests.support.fleet import call, faults, fleet, leave, traffic
from tests.support.sidecar import Sidecar, route
from tests.support.tls import issue, trust
from tests.support.waiting import eventually

FILES: Final = 456
CAPACITY: Final = (FILES - 256) // 2
SILENT: Final = 2 * FILES


@contextlib.contextmanager
def few_files() -> Iterator[None]:
    """What is started within may open FILES files."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@contextlib.contextmanager
def silent(port: int, count: int, said: bytes) -> Iterator[None]:
    """Connections that say nothing after `said`, for which they are accepted at once."""
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            client.sendall(said)
        yield


def open_files(pid: int) -> int:
    """How many files a process has open."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def health(sidecar: Sidecar) -> int:
    """Status of the health port."""
    url = f"http://127.0.0.1:{sidecar.metrics}/healthz"
    with urllib.request.urlopen(url, timeout=10) as response:
        status: int = response.status
        return status


async def test_without_free_descriptors_tunnels_go_on_and_the_way_to_help_stays_open() -> None:
    with contextlib.ExitStack() as stack:
        backend = stack.enter_context(echoing())
        sidecar = Sidecar([route(backend.port)])
        with few_files():
            stack.enter_context(sidecar)
        async with fleet(sidecar.port, CAPACITY) as tunnels, traffic(tunnels, rate=400):
            beyond = [await call(sidecar.port) for _ in range(2 * FILES)]
            with silent(sidecar.port, SILENT, b"G"):
                begun, before = time.monotonic(), cpu_seconds(sidecar.pid)
                answers = [await asyncio.to_thread(health, sidecar) for _ in range(5)]
                listed = await asyncio.to_thread(sidecar.connections)
                await asyncio.sleep(1)
                spent = cpu_seconds(sidecar.pid) - before
                busy = spent / (time.monotonic() - begun)
            tunnels.pop().leave()
            await eventually(lambda: len(sidecar.connections()) == CAPACITY - 1)
            room = await call(sidecar.port)

        assert {tunnel.status for tunnel in beyond} == {503}
        assert answers == [200] * 5
        assert len(listed) == CAPACITY
        assert faults(tunnels) == []
        assert all(tunnel.echoes for tunnel in tunnels)
        assert room.status == 101
        assert busy < 0.5
        assert sidecar.errors() == []
        await leave([room, *beyond])


async def test_tls_handshakes_that_do_not_end_leave_tunnels_and_the_way_to_help_alone(
    tmp_path: Path,
) -> None:
    with contextlib.ExitStack() as stack:
        backend = stack.enter_context(echoing())
        sidecar = Sidecar([route(backend.port)], *issue(tmp_path, "localhost"))
        with few_files():
            stack.enter_context(sidecar)
        async with fleet(sidecar.port, 8, tls=trust(tmp_path)) as tunnels:
            with silent(sidecar.port, SILENT, b"\x16"):
                answers = [await asyncio.to_thread(health, sidecar) for _ in range(5)]
                async with traffic(tunnels, rate=400):
                    await asyncio.sleep(0.5)
            await eventually(lambda: open_files(sidecar.pid) < FILES / 2)
            room = await call(sidecar.port, tls=trust(tmp_path))

        assert answers == [200] * 5
        assert faults(tunnels) == []
        assert all(tunnel.echoes for tunnel in tunnels)
        assert room.status == 101
        assert sidecar.errors() == []
        await leave([room])
