from __future__ import annotations

import asyncio
import signal

import pytest

from tests.cluster.node import binaries
from tests.support import convergence
from tests.support.sight import in_sight


def pytest_configure() -> None:
    """Start without an event loop: looptime asks for one, and on 3.11 that makes one for good."""
    asyncio.set_event_loop(None)


def pytest_sessionstart() -> None:
    """Let what the tests start be interrupted, even where a shell started them in the background.

    Such a shell has SIGINT ignored, and children inherit that (POSIX, sh, asynchronous lists).
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def _go_programs(pytestconfig: pytest.Config) -> None:
    """Build the node's programs, which takes longer than a test may and a fixture does."""
    with in_sight(pytestconfig):
        binaries.go_programs()


@pytest.fixture(autouse=True)
def _built(request: pytest.FixtureRequest) -> None:
    """No test waits for what it needs to be built."""
    if request.node.get_closest_marker("cluster"):
        request.getfixturevalue("_go_programs")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show how long it took after each fault until all was well again."""
    if convergence.TOLD:
        terminalreporter.section("time to convergence")
        for line in convergence.TOLD:
            terminalreporter.write_line(line)
