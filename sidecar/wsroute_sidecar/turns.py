"""Work on thousands of things in turns, so that the tunnels have theirs in between."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Final, TypeVar

_Item = TypeVar("_Item")

_TURN: Final = 0.0005
"""Seconds of work in a thread beside the tunnels' until they have the core."""
_PAUSE: Final = 0.00001
"""Seconds; the kernel's timers make 0.06 ms of it."""


async def in_turns(items: Iterable[_Item], size: int) -> AsyncIterator[_Item]:
    """`items`, with everything else served after each `size` of them."""
    for number, item in enumerate(items, start=1):
        yield item
        if number % size == 0:
            await asyncio.sleep(0)


def with_pauses(items: Iterable[_Item]) -> Iterator[_Item]:
    """`items`, for a thread beside the tunnels': it sleeps a moment after each turn of work.

    Without that it keeps a core that it shares with them to the end of a turn of the scheduler's,
    a few milliseconds, and the interpreter's lock as long.
    """
    turn_ends = time.monotonic() + _TURN
    for item in items:
        yield item
        if time.monotonic() > turn_ends:
            time.sleep(_PAUSE)
            turn_ends = time.monotonic() + _TURN
