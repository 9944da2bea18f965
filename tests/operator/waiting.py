"""Waiting for what no event announces."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final

LIMIT: Final = 30.0


def until(condition: Callable[[], Any], what: str, seconds: float = LIMIT) -> Any:
    """Ask until the answer is truthy, and return it."""
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds} s: {what}")
        time.sleep(0.01)
    return answer


async def eventually(condition: Callable[[], Any], what: str, seconds: float = LIMIT) -> Any:
    """As `until`, while the event loop turns."""
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds} s: {what}")
        await asyncio.sleep(0.005)
    return answer
