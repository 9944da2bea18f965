"""Everything at once, for a while: `python -m tests.bench.soak [MINUTES]`.

Clients talk, idle, stall, talk rubbish and vanish; routes change, tunnels are closed by hand, and
the backend is killed. Every echo is compared with what was sent. Memory, descriptors and tasks of
the sidecar are looked at all the while, and once more when all clients have left.
"""

from __future__ import annotations

import asyncio
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Sequence
from typing import Final, NamedTuple

from tests.bench.crowd import Scene, acting
from tests.bench.processes import memory
from tests.support.echo import echoing
from tests.support.fleet import call, leave
from tests.support.pusher import IDENTITY
from tests.support.sidecar import Sidecar, route
from tests.support.stalled import ROOM
from tests.support.waiting import eventually

_MIB: Final = 1 << 20
_GROWTH: Final = 8 * _MIB
"""Bytes that count as no growth: Python's allocator keeps what it once had."""


class Sample(NamedTuple):
    """What the sidecar has; memory is what no file backs, in bytes."""

    memory: int
    descriptors: int
    tasks: int
    tunnels: int


async def sample(sidecar: Sidecar) -> Sample:
    """How it is."""
    return Sample(
        memory(sidecar.pid).private,
        sidecar.descriptors(),
        await asyncio.to_thread(_tasks, sidecar),
        len(await asyncio.to_thread(sidecar.connections)),
    )


def _tasks(sidecar: Sidecar) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{sidecar.metrics}/metrics") as page:
        lines = page.read().decode().splitlines()
    (tasks,) = (line.split()[1] for line in lines if line.startswith("wsroute_tasks "))
    return int(tasks)


class Soaked(NamedTuple):
    """What has happened, and how the sidecar was meanwhile."""

    seen: Counter[str]
    samples: list[Sample]


async def run(seconds: float, period: float) -> Soaked:
    """Soak for so long, and look at the sidecar every `period` seconds; AssertionError tells."""
    samples = []
    with echoing(ROOM) as backend, Sidecar(env=IDENTITY) as sidecar:
        scene = Scene(sidecar, backend)
        await scene.pusher.push([route(backend.port)])
        await leave([await call(sidecar.port)])
        await eventually(lambda: sidecar.connections() == [])
        before = await sample(sidecar)
        begun = time.monotonic()
        async with acting(scene):
            while (left := begun + seconds - time.monotonic()) > 0:
                await asyncio.sleep(min(period, left))
                samples.append(await sample(sidecar))
                print(f"{time.monotonic() - begun:6.0f} s  {samples[-1]}", flush=True)
        await eventually(lambda: sidecar.connections() == [])
        await eventually(lambda: sidecar.descriptors() <= before.descriptors)
        await eventually(lambda: _tasks(sidecar) <= before.tasks)
        errors = sidecar.errors()
        assert errors == [], errors
    assert growth(samples) <= _GROWTH
    return Soaked(scene.seen, samples)


def growth(samples: Sequence[Sample]) -> int:
    """Bytes by which memory grew from the second third to the last, each at its least."""
    third = len(samples) // 3
    if not third:
        return 0
    middle, last = samples[third : 2 * third], samples[2 * third :]
    return min(s.memory for s in last) - min(s.memory for s in middle)


def main() -> None:
    """Soak for as many minutes as the command says, or 20."""
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 20
    soaked = asyncio.run(run(minutes * 60, 15))
    for what, count in sorted(soaked.seen.items()):
        print(f"{count:9}  {what}")
    print(f"{growth(soaked.samples) / _MIB:9.1f}  MiB of growth from the second third to the last")


if __name__ == "__main__":
    main()
