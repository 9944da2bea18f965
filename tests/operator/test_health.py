from __future__ import annotations

import asyncio
import socket

import aiohttp
import pytest

from tests.support.sidecar import free_ports
from tests.support.waiting import eventually
from wsroute_api.address import Address
from wsroute_operator import health
from wsroute_operator.index import Index


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
async def test_without_a_host_it_listens_on_both_families(address: str) -> None:
    (port,) = free_ports(1)
    serving = asyncio.create_task(health.serve(Address.parse(f":{port}"), Index()))

    def listens() -> bool:
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
            return probe.connect_ex((address, port)) == 0

    try:
        await eventually(listens, "the listener")
        host = f"[{address}]" if ":" in address else address
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://{host}:{port}/healthz") as answer,
        ):
            assert answer.status == 200
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
