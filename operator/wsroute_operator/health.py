"""The operator's own health and metrics, over plain HTTP."""

from __future__ import annotations

import asyncio
from typing import Final

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from wsroute_api.address import Address
from wsroute_operator import metrics
from wsroute_operator.index import Index

_SHUTDOWN_SECONDS: Final = 1.0


async def serve(address: Address, index: Index) -> None:
    """Answer /healthz (the event loop turns), /readyz (the watches have listed) and /metrics."""

    async def alive(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def ready(_: web.Request) -> web.Response:
        if index.complete.is_set():
            return web.Response(text="ok\n")
        return web.Response(status=503, text="the watches have not shown all objects yet\n")

    async def exposition(_: web.Request) -> web.Response:
        body = generate_latest(metrics.REGISTRY)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.router.add_get("/healthz", alive)
    app.router.add_get("/readyz", ready)
    app.router.add_get("/metrics", exposition)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        await web.TCPSite(runner, address.host, address.port).start()
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()
