"""The load generator and the echo backend: built from the crate, driven by lines of JSON."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.bench.processes import connections, cores, cpu_seconds, running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tests.bench.processes import Argv

CRATE = Path(__file__).parent / "load"
REST_SECONDS = 20.0
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "wsroute"
BUILT = CACHE / "bench-target"


class UnverifiedError(Exception):
    """What was measured is not what it should be: an echo differs, or went another way."""


def cargo(*words: str) -> subprocess.CompletedProcess[bytes]:
    """Run cargo on the crate, which is built in the user's cache."""
    if not shutil.which("cargo"):
        raise SystemExit("the load generator needs Rust: cargo is not on the PATH")
    environment = {**os.environ, "CARGO_TARGET_DIR": str(BUILT)}
    return subprocess.run(["cargo", *words], cwd=CRATE, env=environment, check=False)


def build() -> Path:
    """The generator's program."""
    cargo("build", "--release", "--quiet").check_returncode()
    return BUILT / "release" / "wsroute-load"


def _line(child: subprocess.Popen[str], log: Path) -> dict[str, Any]:
    assert child.stdout is not None
    line = child.stdout.readline()
    if not line:
        raise UnverifiedError(log.read_text().strip() or "the load generator ended early")
    fields: dict[str, Any] = json.loads(line)
    return fields


def _tell(child: subprocess.Popen[str]) -> None:
    assert child.stdin is not None
    child.stdin.write("\n")
    child.stdin.flush()


class Backend:
    """The running echo backend."""

    def __init__(self, child: subprocess.Popen[str], log: Path) -> None:
        self._child, self._log = child, log
        self.pid = child.pid
        self.port = int(_line(child, log)["port"])

    def counters(self) -> dict[str, int]:
        """What it has seen so far: accepted, open, messages, bytes, pings."""
        _tell(self._child)
        return _line(self._child, self._log)

    def await_rest(self) -> None:
        """Wait until no connection is left of what went before.

        Raises:
            UnverifiedError: The proxy keeps connections whose client is gone.
        """
        deadline = time.monotonic() + REST_SECONDS
        while left := self.counters()["open"]:
            if time.monotonic() > deadline:
                raise UnverifiedError(f"{left} connections outlive their clients")
            time.sleep(0.01)


@dataclass(frozen=True)
class Target:
    """What the load is sent to: the port to use, and the process whose cost it is."""

    pid: int
    port: int
    backend: Backend


@dataclass(frozen=True)
class Result:
    """A measured and verified run; latencies are in microseconds."""

    cpu_seconds: float
    seconds: float
    messages: int
    bytes: int
    pongs: int
    p50: float
    p99: float
    p999: float
    max: float


def nothing() -> None:
    """What happens beside a run, if nothing else does."""


@dataclass(frozen=True)
class Generator:
    """Runs the load generator's modes; see the crate's main.rs for them and their options."""

    program: Path
    scratch: Path

    @contextmanager
    def backend(self) -> Iterator[Backend]:
        """An echo backend."""
        log = self.scratch / "backend.log"
        with running([self.program, "serve"], core=cores()[0], log=log, piped=True) as child:
            yield Backend(child, log)

    def run(
        self,
        mode: str,
        target: Target,
        options: Mapping[str, float],
        *,
        during: Callable[[], None] = nothing,
        after: Callable[[], None] = nothing,
    ) -> Result:
        """Run a mode to its end; `during` is called once the load runs, `after` before it closes.

        Raises:
            UnverifiedError: An echo was wrong or missing, or the backend saw something else.
        """
        target.backend.await_rest()
        before = target.backend.counters()
        words = [word for name, value in options.items() for word in (f"--{name}", f"{value:g}")]
        argv: Argv = [self.program, mode, "--port", str(target.port), *words]
        log = self.scratch / "load.log"
        log.unlink(missing_ok=True)
        with running(argv, core=cores()[0], log=log, piped=True) as child:
            warm_up = _line(child, log)
            _check_way(target, int(options.get("tunnels", 0)))
            start = cpu_seconds(target.pid)
            _tell(child)
            during()
            fields = _line(child, log)
            spent = cpu_seconds(target.pid) - start
            after()
            _tell(child)
        result = Result(cpu_seconds=spent, **fields)
        _check_backend(before, target.backend.counters(), result, warm_up, options)
        return result


def _check_way(target: Target, tunnels: int) -> None:
    """Check that every tunnel reaches the backend from the measured process and no other."""
    if target.pid == target.backend.pid:
        return
    found = connections(target.pid, target.backend.port), target.backend.counters()["open"]
    if found != (tunnels, tunnels):
        raise UnverifiedError(f"{tunnels} tunnels, but (proxy's, backend's) = {found}")


def _check_backend(
    before: dict[str, int],
    after: dict[str, int],
    result: Result,
    warm_up: dict[str, int],
    options: Mapping[str, float],
) -> None:
    seen = {name: after[name] - before[name] for name in ("accepted", "messages", "bytes", "pings")}
    expected = {
        "accepted": options.get("tunnels", options.get("count", 0)),
        "messages": warm_up["messages"] + result.messages,
        "bytes": warm_up["bytes"] + result.bytes,
        "pings": result.pongs,
    }
    if seen != expected:
        raise UnverifiedError(f"the load sent {expected}, but the backend saw {seen}")
