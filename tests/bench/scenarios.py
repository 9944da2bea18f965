"""What is measured of one proxy in one round."""

from __future__ import annotations

import resource
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.bench.figures import IDLE_TUNNELS, SHAPES
from tests.bench.load import Generator, Target, UnverifiedError, nothing
from tests.bench.processes import cores, memory, running
from tests.bench.proxies import ROOM, Place, Proxy, free_port
from tests.bench.swap import prepare, swap

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.bench.load import Backend, Result

START_SECONDS = 20.0
DESCRIPTORS = 2 * ROOM + 500
PING_INTERVAL = 30.0
WARM_UP_TUNNELS = 64  # so that what is made once is there before memory is compared


@dataclass(frozen=True)
class Effort:
    """How long a round takes; times are in seconds."""

    closed_loop: float
    open_loop: float
    idle: float
    handshakes: int
    idle_tunnels: int
    swap: float


FULL = Effort(
    closed_loop=2.0, open_loop=4.0, idle=6.0, handshakes=3_000, idle_tunnels=IDLE_TUNNELS, swap=3.0
)
QUICK = Effort(closed_loop=0.2, open_loop=0.3, idle=0.5, handshakes=50, idle_tunnels=100, swap=1.0)


def allow_descriptors() -> None:
    """Let this process and its children open as many files as they may; exit if that is too few."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < DESCRIPTORS:
        raise SystemExit(f"a process may open {hard} files, {DESCRIPTORS} are needed (ulimit -Hn)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@dataclass(frozen=True)
class Bench:
    """The parts that all measurements of a run share."""

    load: Generator
    backend: Backend
    scratch: Path
    effort: Effort

    def measure(self, proxy: Proxy, program: Path) -> dict[str, float]:
        """All figures of one proxy: memory of a fresh process, then what another one does."""
        with self._started(proxy, program) as (target, _):
            figures = self._memory(target)
        with self._started(proxy, program) as (target, place):
            figures |= {**self._handshakes(target), **self._messages(target)}
            figures["calm"] = self._longest_wait(target)
            return figures | self._swap(target, place) if proxy.own else figures

    def measure_direct(self) -> dict[str, float]:
        """What the load and the backend do with no proxy between: the ceiling and the floor."""
        target = Target(self.backend.pid, self.backend.port, self.backend)
        figures = {**self._handshakes(target), **self._messages(target)}
        figures["calm"] = self._longest_wait(target)
        return {key: value for key, value in figures.items() if not key.startswith("cpu ")}

    @contextmanager
    def _started(self, proxy: Proxy, program: Path) -> Iterator[tuple[Target, Place]]:
        folder = self.scratch / proxy.name
        folder.mkdir(exist_ok=True)
        place = Place(free_port(), self.backend.port, folder)
        argv = proxy.command(program, place)
        with running(argv, core=cores()[1], log=folder / "log") as child:
            target = Target(child.pid, place.port, self.backend)
            try:
                self._await_echo(target, child)
            except UnverifiedError as error:
                raise UnverifiedError(f"{error}\n{(folder / 'log').read_text()}") from error
            yield target, place

    def _await_echo(self, target: Target, child: subprocess.Popen[str]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                self.load.run("open", target, {"count": 1})
            except UnverifiedError:
                if child.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
            else:
                return

    def _memory(self, target: Target) -> dict[str, float]:
        at_rest = memory(target.pid)
        self.load.run("idle", target, {"tunnels": WARM_UP_TUNNELS, "seconds": 0})
        self.backend.await_rest()
        before, after = memory(target.pid).private, 0

        def look() -> None:
            nonlocal after
            after = memory(target.pid).private

        tunnels, seconds = self.effort.idle_tunnels, self.effort.idle
        idle = {"tunnels": tunnels, "seconds": seconds, "rate": tunnels / PING_INTERVAL}
        result = self.load.run("idle", target, idle, after=look)
        return {
            "rest private": at_rest.private / 1024,
            "rest pss": at_rest.proportional / 1024,
            "rest resident": at_rest.resident / 1024,
            "tunnel memory": (after - before) / tunnels,
            "idle cpu": result.cpu_seconds / result.seconds * 1e6,
        }

    def _handshakes(self, target: Target) -> dict[str, float]:
        self.load.run("open", target, {"count": self.effort.handshakes // 10})
        result = self.load.run("open", target, {"count": self.effort.handshakes})
        return {
            "cpu handshake": _micros_per_message(result),
            "handshake rate": result.messages / result.seconds,
        }

    def _messages(self, target: Target) -> dict[str, float]:
        figures: dict[str, float] = {}
        for shape in SHAPES:
            size: dict[str, float] = {"tunnels": shape.tunnels, "size": shape.size}
            closed = self.load.run("echo", target, size | {"seconds": self.effort.closed_loop})
            figures[f"cpu {shape.label}"] = _micros_per_message(closed)
            figures[f"rate {shape.label}"] = closed.messages / closed.seconds
            pace = {"seconds": self.effort.open_loop, "rate": shape.rate}
            paced = self.load.run("pace", target, size | pace)
            figures[f"p50 {shape.label}"] = paced.p50
            figures[f"p99 {shape.label}"] = paced.p99
            figures[f"p99.9 {shape.label}"] = paced.p999
        return figures

    def _swap(self, target: Target, place: Place) -> dict[str, float]:
        """How long a change of routes takes, and the longest wait of an echo meanwhile."""
        first, second = prepare(place, 1), prepare(place, 2)
        swap(place, first)
        times: list[float] = []
        stall = self._longest_wait(target, during=lambda: times.append(swap(place, second)))
        return {"swap": times[0] * 1e3, "stall": stall}

    def _longest_wait(self, target: Target, during: Callable[[], None] = nothing) -> float:
        """Milliseconds."""
        shape = SHAPES[0]
        size = {"tunnels": shape.tunnels, "size": shape.size}
        pace = {"rate": shape.rate, "seconds": self.effort.swap}
        return self.load.run("pace", target, size | pace, during=during).max / 1e3


def _micros_per_message(result: Result) -> float:
    return result.cpu_seconds / result.messages * 1e6
