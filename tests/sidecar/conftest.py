from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import pytest

LoopFactory = Callable[[], asyncio.AbstractEventLoop]
PLAIN: Mapping[str, LoopFactory] = {"asyncio": asyncio.new_event_loop}


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, LoopFactory]:
    """A module's LOOPS, where it has some: its tests run once in each."""
    assert isinstance(item, pytest.Function)
    loops: Mapping[str, LoopFactory] = getattr(item.module, "LOOPS", PLAIN)
    return loops
