"""Health and metrics, for the kubelet and for Prometheus."""

from __future__ import annotations

import asyncio
from typing import Final

from aiohttp import web

from wsroute_sidecar.metrics import Metrics
from wsroute_sidecar.routes import Live
from wsroute_sidecar.tunnels import Tunnels
from wsroute_sidecar.turns import in_turns

_COUNTED_AT_ONCE: Final = 250


def application(live: Live, tunnels: Tunnels, counted: Metrics) -> web.Application:
    """`/healthz`: the process lives. `/readyz`: it has routes, and is not being drained."""

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_: web.Request) -> web.Response:
        if tunnels.draining:
            return web.Response(status=503, text="this pod is being drained\n")
        if live.table is None:
            return web.Response(status=503, text="no routes have arrived yet\n")
        return web.Response(text="ok\n")

    async def metrics(_: web.Request) -> web.Response:
        sums = counted.sums()
        async for record in in_turns(tunnels, _COUNTED_AT_ONCE):
            if record.tunnel is not None:
                sums.add(record.policy, record.tunnel.stats())
        table = live.table
        gauges = {
            "wsroute_routes": 0 if table is None else len(table.routes),
            "wsroute_draining": int(tunnels.draining),
            "wsroute_tasks": len(asyncio.all_tasks()),
        }
        text = counted.render(sums, gauges)
        return web.Response(text=text, headers={"Content-Type": "text/plain; version=0.0.4"})

    app = web.Application()
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", metrics)
    return app
