"""What clients of all kinds, an operator and an unlucky backend do, each again and again."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import socket
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

from tests.support.echo import Backend
from tests.support.fleet import Tunnel, call, leave
from tests.support.frames import BINARY, PING, frame
from tests.support.pusher import Pusher
from tests.support.sidecar import Sidecar, route
from tests.support.stalled import fill, stalled
from tests.support.waiting import eventually

_chance: Final = random.SystemRandom()
_RULE: Final[dict[str, Any]] = {
    "connection": {"idleTimeout": "3s", "maxDuration": "5s", "maxDurationJitter": 100},
    "keepalive": {"pingInterval": "500ms", "pongTimeout": "2s"},
    "limits": {
        "maxConnectionsPerClient": 500,
        "maxMessageSize": "64Ki",
        "handshakesPerSecond": 200,
    },
}
_LARGE: Final = frame(BINARY, bytes(100_000), mask=True)
_BROKEN: Final = (
    frame(BINARY, b"not masked", mask=False),
    b"\xff\xff" * 10,
    _LARGE,
    frame(BINARY, bytes(1000), mask=True)[:500],
    b"\x82\xff" + (1 << 62).to_bytes(8) + bytes(100),
    frame(PING, bytes(125), mask=True) * 100,
)
_RUBBISH: Final = (
    b"\x00" * 100,
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"GET / HTTP/1.1\r\nHost: app",
    b"GET / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
    b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: app.test\r\n\r\n",
)


class Scene:
    """A sidecar, its backend, and what has happened so far."""

    def __init__(self, sidecar: Sidecar, backend: Backend) -> None:
        self.sidecar: Final = sidecar
        self.backend: Final = backend
        self.pusher: Final = Pusher(sidecar)
        self.seen: Final[Counter[str]] = Counter()

    @contextlib.asynccontextmanager
    async def tunnel(self) -> AsyncIterator[Tunnel]:
        """A new tunnel, however long it takes to get one, until the end of the block."""
        tunnel = await call(self.sidecar.port)
        while not tunnel.open:
            self.seen[f"refused with {tunnel.status}"] += 1
            await leave([tunnel])
            await asyncio.sleep(_chance.uniform(0.1, 0.5))
            tunnel = await call(self.sidecar.port)
        try:
            yield tunnel
        finally:
            await leave([tunnel])

    async def ended(self, tunnel: Tunnel) -> None:
        """Wait for the end of a tunnel, and note it; all that came back was right."""
        await tunnel.gone.wait()
        assert tunnel.faults == []
        assert tunnel.ending is not None
        self.seen["echoes"] += tunnel.echoes
        self.seen[f"ended with {tunnel.ending.code}"] += 1


async def talk(scene: Scene) -> None:
    """Send, and compare the echo."""
    async with scene.tunnel() as tunnel:
        while tunnel.live:
            tunnel.send()
            await asyncio.sleep(_chance.uniform(0.1, 0.3))
            await eventually(lambda: tunnel.settled)
        await scene.ended(tunnel)


async def idle(scene: Scene) -> None:
    """Say nothing, but for pongs."""
    async with scene.tunnel() as tunnel:
        await scene.ended(tunnel)


async def ignore(scene: Scene) -> None:
    """Read nothing, and so answer no ping."""
    async with scene.tunnel() as tunnel:
        tunnel.transport.pause_reading()
        await asyncio.sleep(_chance.uniform(1, 8))


async def stall(scene: Scene) -> None:
    """Send and read nothing."""
    async with stalled(scene.sidecar.port, 1) as tunnels:
        if tunnels[0].open:
            await fill(tunnels)
            scene.seen["stalled"] += 1
            await asyncio.sleep(_chance.uniform(0, 3))


async def break_off(scene: Scene) -> None:
    """Break the rules within a tunnel, then vanish."""
    async with scene.tunnel() as tunnel:
        tunnel.deaf = _chance.random() < 0.5
        tunnel.transport.write(_chance.choice(_BROKEN))
        await asyncio.sleep(_chance.uniform(0, 1))
    scene.seen["broken off"] += 1


async def babble(scene: Scene) -> None:
    """Break the rules before there is a tunnel."""
    with socket.create_connection(("127.0.0.1", scene.sidecar.port)) as sock:
        sock.sendall(_chance.choice((*_RUBBISH, os.urandom(500))))
        await asyncio.sleep(_chance.uniform(0, 0.5))
    scene.seen["rubbish"] += 1


async def change(scene: Scene) -> None:
    """Serve other routes: the same ones, edited ones, more of them, or none."""
    port, drain = scene.backend.port, {"timeout": "1s"}
    await scene.pusher.push(
        _chance.choice(
            [
                [route(port, **_RULE)],
                [route(port, **_RULE, drain={**drain, "onRouteChange": "Drain"})],
                [route(port, **_RULE, drain={**drain, "onRouteChange": "Close"})],
                [route(port, **_RULE), route(port, name="other", hostnames=["other.test"])],
                [],
            ]
        )
    )
    scene.seen["pushes"] += 1
    await asyncio.sleep(_chance.uniform(0.2, 1))


async def manage(scene: Scene) -> None:
    """List all, close one, and now and then a whole route."""
    listed = await asyncio.to_thread(scene.sidecar.connections)
    order: dict[str, object] = {"code": 4000, "reason": "by hand"}
    if listed and _chance.random() < 0.9:
        order["id"] = _chance.choice(listed)["id"]
    else:
        order["route"] = "default/app"
    done = await asyncio.to_thread(scene.sidecar.ask, "POST", "/v1/close", order)
    scene.seen["closed by hand"] += done["closed"]
    await asyncio.sleep(_chance.uniform(0.1, 1))


async def crash(scene: Scene) -> None:
    """Kill the backend, and start it again."""
    await asyncio.sleep(_chance.uniform(3, 7))
    scene.backend.kill()
    scene.seen["crashes"] += 1
    await asyncio.sleep(_chance.uniform(0, 1))
    scene.backend.start()


ACTORS: Final[dict[Callable[[Scene], Awaitable[None]], int]] = {
    talk: 100,
    idle: 10,
    ignore: 5,
    stall: 5,
    break_off: 10,
    babble: 10,
    change: 1,
    manage: 1,
    crash: 1,
}
"""What is done again and again, and by how many."""


async def again(act: Callable[[Scene], Awaitable[None]], scene: Scene) -> None:
    """Act for ever; the backend's and the routes' absence is no fault of the actor's."""
    while True:
        with contextlib.suppress(ConnectionError):
            await act(scene)


@contextlib.asynccontextmanager
async def acting(scene: Scene) -> AsyncIterator[None]:
    """All actors act; what one of them finds wrong is raised."""
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(again(act, scene))
            for act, count in ACTORS.items()
            for _ in range(count)
        ]
        yield
        for task in tasks:
            task.cancel()
