from __future__ import annotations

import asyncio


def pytest_configure() -> None:
    """Start without an event loop: looptime asks for one, and on 3.11 that makes one for good."""
    asyncio.set_event_loop(None)
