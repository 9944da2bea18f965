"""One daemon of the node, started and awaited."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.support.waiting import until

from . import processes
from .shell import CommandError


@dataclass(frozen=True)
class Daemon:
    """A program of the node; `ready` raises `CommandError` or says no until it can be used."""

    name: str
    command: tuple[str | Path, ...]
    ready: Callable[[], bool] = lambda: True

    def start(self) -> None:
        """Start it without waiting."""
        processes.start(self.name, self.command)

    def stop(self) -> None:
        """Kill it; its state stays, and the other daemons."""
        processes.kill(processes.DAEMONS / self.name)

    def running(self) -> bool:
        """Whether it has a process."""
        return bool(processes.members(processes.DAEMONS / self.name))

    def wait(self, seconds: float = 60) -> None:
        """Wait until it is ready.

        Raises:
            RuntimeError: It ended or was too late; the message has the end of its log.
        """
        try:
            until(self._answers, f"{self.name} ready", seconds)
        except (TimeoutError, ChildProcessError) as error:
            raise RuntimeError(f"{error}\n{processes.log_tail(self.name)}") from error

    def _answers(self) -> bool:
        if not self.running():
            raise ChildProcessError(f"{self.name} ended")
        try:
            return self.ready()
        except CommandError:
            return False
