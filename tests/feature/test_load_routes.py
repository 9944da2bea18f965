"""Routes change again and again while many tunnels carry messages."""

from __future__ import annotations

from typing import Any, Final

from tests.support.echo import echoing
from tests.support.fleet import FULL, call, faults, fleet, leave, traffic
from tests.support.pusher import IDENTITY, Pusher
from tests.support.sidecar import Sidecar, free_ports, route

TUNNELS: Final = 4000 if FULL else 800
CHANGES: Final = 1000 if FULL else 60
RATE: Final = 2000


def tables(port: int, elsewhere: int) -> list[list[dict[str, Any]]]:
    """What takes turns: the route edited, beside others, led elsewhere, as it was, and gone."""
    app = route(port)
    others = [route(port, name=f"other-{i}", hostnames=[f"{i}.test"]) for i in range(20)]
    return [
        [route(port, keepalive={"pingInterval": "1h"}, limits={"maxConnections": 1})],
        [app, *others],
        [route(elsewhere)],
        [app],
        others,
    ]


async def test_changes_of_routes_touch_no_tunnel() -> None:
    (elsewhere,) = free_ports(1)
    with echoing() as backend, Sidecar(env=IDENTITY) as sidecar:
        pusher = Pusher(sidecar)
        await pusher.push([route(backend.port)])
        async with fleet(sidecar.port, TUNNELS) as tunnels:
            async with traffic(tunnels, RATE):
                for number in range(CHANGES):
                    turns = tables(backend.port, elsewhere)
                    await pusher.push(turns[number % len(turns)])
            gone = await call(sidecar.port)

            assert all(tunnel.live for tunnel in tunnels)
            assert faults(tunnels) == []
            assert min(tunnel.echoes for tunnel in tunnels) > 0
            changes = [line for line in sidecar.log if line["event"] == "routes_loaded"]
            assert len(changes) == CHANGES + 1
            assert gone.status == 404
            assert sidecar.errors() == []
        await leave([gone])
