"""Waiting for what no event announces."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final, TypeVar

T = TypeVar("T")

LIMIT: Final = 120.0
"""Seconds for what has no limit of its own: this is no promise, so a slow machine may take long."""
_PAUSE: Final = 0.01


def until(condition: Callable[[], T | None], what: str = "it", seconds: float = LIMIT) -> T:
    """Ask until the answer is truthy, and return it.

    A question that takes long is asked less often, so that asking never takes half of a core.

    Raises:
        TimeoutError: It was not within `seconds`; the message names `what`.
    """
    deadline = time.monotonic() + seconds
    while True:
        asked = time.monotonic()
        if answer := condition():
            return answer
        answered = time.monotonic()
        if answered > deadline:
            raise TimeoutError(f"not within {seconds:g} s: {what}")
        time.sleep(max(_PAUSE, answered - asked))


async def eventually(
    condition: Callable[[], T | None], what: str = "it", seconds: float = LIMIT
) -> T:
    """As `until`, while the event loop turns."""
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds:g} s: {what}")
        await asyncio.sleep(0.002)
    return answer
