from __future__ import annotations

import asyncio
import signal

import pytest

from tests.support import convergence


def pytest_configure() -> None:
    """Start without an event loop: looptime asks for one, and on 3.11 that makes one for good."""
    asyncio.set_event_loop(None)


def pytest_sessionstart() -> None:
    """Let what the tests start be interrupted, even where a shell started them in the background.

    Such a shell has SIGINT ignored, and children inherit that (POSIX, sh, asynchronous lists).
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show how long it took after each fault until all was well again."""
    if convergence.TOLD:
        terminalreporter.section("time to convergence")
        for line in convergence.TOLD:
            terminalreporter.write_line(line)
