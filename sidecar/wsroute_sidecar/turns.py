"""Work on thousands of things in turns, so that the tunnels have theirs in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import TypeVar

_Item = TypeVar("_Item")


async def in_turns(items: Iterable[_Item], size: int) -> AsyncIterator[_Item]:
    """`items`, with everything else served after each `size` of them."""
    for number, item in enumerate(items, start=1):
        yield item
        if number % size == 0:
            await asyncio.sleep(0)
