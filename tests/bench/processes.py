"""Child processes that end for sure, and what the kernel knows of them.

A proxy may be a tree of processes (nginx has a master), so all that is read here is of a tree.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Argv = list[str | Path]
STOP_SECONDS = 5.0
ESTABLISHED = "01"


def cores() -> tuple[int, int]:
    """The core for the load and the backend, and the one for the proxy; one if there is one."""
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[0], allowed[-1]


@contextmanager
def running(
    argv: Sequence[str | Path], *, core: int, log: Path, piped: bool = False
) -> Iterator[subprocess.Popen[str]]:
    """A child on one core, in a process group of its own, which is ended on leaving.

    Standard error goes to `log`; `piped` gives pipes for standard input and output.
    """
    stream = subprocess.PIPE if piped else subprocess.DEVNULL
    before = os.sched_getaffinity(0)
    with log.open("a") as errors:
        os.sched_setaffinity(0, {core})  # inherited; all threads start with it
        try:
            child = subprocess.Popen(
                argv, stdin=stream, stdout=stream, stderr=errors, text=True, process_group=0
            )
        finally:
            os.sched_setaffinity(0, before)
    with child:
        try:
            yield child
        finally:
            _stop(child)


def _stop(child: subprocess.Popen[str]) -> None:
    child.terminate()
    with suppress(subprocess.TimeoutExpired):
        child.wait(STOP_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)


def tree(pid: int) -> list[int]:
    """A process and all below it."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(below for child in children for below in tree(int(child)))]


def cpu_seconds(pid: int) -> float:
    """CPU time used so far, user and system, of all threads, also of those that ended.

    The kernel's CPU clock of another process (clock_getcpuclockid(3)) counts nanoseconds, where
    /proc/PID/stat counts ticks of 10 ms.
    """
    return sum(time.clock_gettime_ns((~member << 3) | 2) for member in tree(pid)) / 1e9


@dataclass(frozen=True)
class Memory:
    """What a tree of processes takes, in bytes; what its processes share counts once."""

    private: int
    """Backed by no file: what one more such process takes on a node."""
    proportional: int
    """Pss: files count by the share of this tree in all processes that have them mapped."""
    resident: int
    """With all that is in memory of its files: what the only such process on a node takes."""


def memory(pid: int) -> Memory:
    """The memory of a process and all below it."""
    members = [_rollup(member) for member in tree(pid)]
    private = sum(fields["Pss_Anon"] + fields["Pss_Shmem"] for fields in members)
    files = max(fields["Rss"] - fields["Anonymous"] - fields["Pss_Shmem"] for fields in members)
    return Memory(private, sum(fields["Pss"] for fields in members), private + files)


def _rollup(pid: int) -> dict[str, int]:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    rows = (line.split() for line in lines)
    return {name.removesuffix(":"): int(size) * 1024 for name, size, _ in rows}


def connections(pid: int, port: int) -> int:
    """How many connections to `port` of the loopback address belong to the process.

    The kernel's table may show one twice while others come and go.
    """
    own = {link for member in tree(pid) for link in _socket_links(member)}
    remote = f"0100007F:{port:04X}"
    rows = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    found = {row[9] for row in rows if row[2] == remote and row[3] == ESTABLISHED}
    return sum(f"socket:[{inode}]" in own for inode in found)


def _socket_links(pid: int) -> Iterator[str]:
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            yield str(entry.readlink())
