"""Waiting for an event, but not for ever."""

from __future__ import annotations

import asyncio
import contextlib


async def at_most(seconds: float, event: asyncio.Event) -> None:
    """Wait for `event`, but no longer than `seconds`."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
