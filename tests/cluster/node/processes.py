"""The node's processes, each daemon in a control group of its own.

The kernel's list of a group's members is the record of what was started: it outlives the program
that started it, has the children that left their parent, and knows no reused process ids.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from tests.support.waiting import until

from . import layout

_CGROUPS = Path("/sys/fs/cgroup")
_TREE = _CGROUPS / "pids" if (_CGROUPS / "pids").is_dir() else _CGROUPS
DAEMONS = _TREE / "wsroute-test-node"
PODS = _TREE / "kubepods"


def start(name: str, command: Sequence[str | Path]) -> None:
    """Start a daemon, detached, in its group; it logs to `logs/NAME.log`."""
    group = DAEMONS / name
    group.mkdir(parents=True, exist_ok=True)
    enter = 'echo $$ > "$0" && exec setsid --fork "$@"'
    with (layout.LOGS / f"{name}.log").open("a") as log:
        subprocess.run(
            ["sh", "-c", enter, group / "cgroup.procs", *command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            check=True,
        )


def members(group: Path) -> list[int]:
    """The ids of the processes in a group and in the groups below it."""
    return [int(pid) for file in group.rglob("cgroup.procs") for pid in file.read_text().split()]


def kill(group: Path) -> None:
    """Kill all processes of a group, and those that they start meanwhile, and remove the group."""
    until(lambda: not _kill_members(group), f"the end of the processes of {group}", 30)
    for hierarchy in (_CGROUPS, *_CGROUPS.iterdir()):
        folder = hierarchy / group.relative_to(_TREE)
        if folder.is_dir():
            _remove(folder)


def log_tail(name: str, lines: int = 15) -> str:
    """The last lines that a daemon logged."""
    return "\n".join((layout.LOGS / f"{name}.log").read_text().splitlines()[-lines:])


def _kill_members(group: Path) -> list[int]:
    pids = members(group)
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return pids


def _remove(group: Path) -> None:
    """Remove a group and the groups below it; their files are the kernel's and go with them."""
    for below in (Path(folder) for folder, _, _ in os.walk(group, topdown=False)):
        until(partial(_removed, below), f"the end of the group {below}", 10)


def _removed(group: Path) -> bool:
    with suppress(OSError):  # EBUSY: a member is still being reaped
        group.rmdir()
    return not group.exists()
