from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping

import pytest
import pytest_asyncio

from tests.sidecar.relay_rig import Waited
from wsroute_sidecar import engines

LoopFactory = Callable[[], asyncio.AbstractEventLoop]
PLAIN: Mapping[str, LoopFactory] = {"asyncio": asyncio.new_event_loop}


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, LoopFactory]:
    """A module's LOOPS, where it has some: its tests run once in each."""
    assert isinstance(item, pytest.Function)
    loops: Mapping[str, LoopFactory] = getattr(item.module, "LOOPS", PLAIN)
    return loops


@pytest_asyncio.fixture(params=["asyncio", "native", "native, begun"])
async def engine(request: pytest.FixtureRequest) -> AsyncIterator[Waited]:
    """Each relay engine; on a machine without Rust the native one is not there.

    It does other things for a client that is a descriptor, as which it can judge an answer.
    """
    name, _, begun = request.param.partition(", ")
    try:
        with engines.running(name) as running:
            yield Waited(running, begun=bool(begun))
    except ValueError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
