"""Health and metrics, for the kubelet and for Prometheus."""

from __future__ import annotations

from aiohttp import web

from wsroute_sidecar.routes import Live
from wsroute_sidecar.tunnels import Tunnels


def application(live: Live, tunnels: Tunnels) -> web.Application:
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
        text = (
            "# HELP wsroute_tunnels_open Tunnels that are open now.\n"
            "# TYPE wsroute_tunnels_open gauge\n"
            f"wsroute_tunnels_open {len(tunnels)}\n"
        )
        return web.Response(text=text)

    app = web.Application()
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", metrics)
    return app
