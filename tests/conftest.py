from __future__ import annotations

import asyncio
import signal


def pytest_configure() -> None:
    """Start without an event loop: looptime asks for one, and on 3.11 that makes one for good."""
    asyncio.set_event_loop(None)


def pytest_sessionstart() -> None:
    """Let what the tests start be interrupted, even where a shell started them in the background.

    Such a shell has SIGINT ignored, and children inherit that (POSIX, sh, asynchronous lists).
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
