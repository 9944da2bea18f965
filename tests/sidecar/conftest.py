from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping

import pytest
import pytest_asyncio

from tests.sidecar.relay_rig import Settling
from wsroute_sidecar import engines
from wsroute_sidecar.engines import Engine

LoopFactory = Callable[[], asyncio.AbstractEventLoop]
PLAIN: Mapping[str, LoopFactory] = {"asyncio": asyncio.new_event_loop}


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, LoopFactory]:
    """A module's LOOPS, where it has some: its tests run once in each."""
    assert isinstance(item, pytest.Function)
    loops: Mapping[str, LoopFactory] = getattr(item.module, "LOOPS", PLAIN)
    return loops


@pytest_asyncio.fixture(params=["asyncio", "native", "native, settled"])
async def engine(request: pytest.FixtureRequest) -> AsyncIterator[Engine]:
    """Each relay engine; on a machine without Rust the native one is not there.

    It is another one for a client that has a transport: it judges no answer then.
    """
    name, _, settled = request.param.partition(", ")
    try:
        with engines.running(name) as running:
            yield Settling(running) if settled else running
    except ValueError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
