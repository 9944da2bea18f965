"""Health and metrics, for the kubelet and for Prometheus."""

from __future__ import annotations

import asyncio
from typing import Final

from wsroute_sidecar.metrics import Metrics
from wsroute_sidecar.ports import Port, Reply, Request, text
from wsroute_sidecar.routes import Live
from wsroute_sidecar.tunnels import Tunnels
from wsroute_sidecar.turns import in_turns

_COUNTED_AT_ONCE: Final = 250


def port(live: Live, tunnels: Tunnels, counted: Metrics) -> Port:
    """`/healthz`: the process lives. `/readyz`: it has routes, and is not being drained."""

    async def healthz(_: Request) -> Reply:
        return text(200, "ok\n")

    async def readyz(_: Request) -> Reply:
        if tunnels.draining:
            return text(503, "this pod is being drained\n")
        if live.table is None:
            return text(503, "no routes have arrived yet\n")
        return text(200, "ok\n")

    async def metrics(_: Request) -> Reply:
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
        return text(200, counted.render(sums, gauges), "text/plain; version=0.0.4")

    paths = {"/healthz": healthz, "/readyz": readyz, "/metrics": metrics}
    return Port({path: {"GET": handler} for path, handler in paths.items()})
