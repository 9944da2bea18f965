"""What an operator of the service sees of it: access lines, metrics, listings."""

from __future__ import annotations

import asyncio
import urllib.request
from collections.abc import Sequence
from typing import Any, Final

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import InvalidStatus, NegotiationError
from websockets.typing import Subprotocol

from tests.support.sidecar import Sidecar, both_engines, free_ports, routes_of
from tests.support.waiting import until

pytestmark = both_engines

LABELS: Final = 'route="default/app",rule="rooms"'


async def echo(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


def metrics(sidecar: Sidecar) -> list[str]:
    with urllib.request.urlopen(f"http://127.0.0.1:{sidecar.metrics}/metrics") as answer:
        text: str = answer.read().decode()
    return text.splitlines()


def counted(sidecar: Sidecar, name: str) -> bool:
    """Whether the metric `name`, its labels included, is more than 0."""
    found = (line for line in metrics(sidecar) if line.startswith(f"{name} "))
    return any(float(line.rpartition(" ")[2]) > 0 for line in found)


def rules(port: int) -> list[dict[str, Any]]:
    pings = {"pingInterval": "50ms", "pongTimeout": "20s"}
    here, nowhere = {"port": port}, {"port": free_ports(1)[0]}

    def at(path: str, **rule: Any) -> dict[str, Any]:
        return {"matches": [{"path": {"value": path}}], "backend": here, **rule}

    return [
        {"name": "rooms", "backend": here, "keepalive": pings},
        at("/dead", backend=nowhere),
        at("/other", allowedOrigins=["https://a.test"]),
        at("/plain", upgrade="Disabled"),
    ]


async def test_a_tunnel_is_listed_logged_and_counted_from_its_opening_to_its_end() -> None:
    async with serve(echo, "127.0.0.1", 0, subprotocols=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        with Sidecar([routes_of(rules(port))]) as sidecar:
            uri = f"ws://127.0.0.1:{sidecar.port}/"
            async with connect(uri, compression=None) as client:
                opened = await asyncio.to_thread(sidecar.logged, "tunnel_opened")
                await client.send("hello")
                await client.recv()
                rtt = f'wsroute_ping_rtt_seconds_count{{{LABELS},side="client"}}'
                assert await asyncio.to_thread(until, lambda: counted(sidecar, rtt))
                (listed,) = await asyncio.to_thread(sidecar.connections)
                await client.close(4000, "done")
            ended = await asyncio.to_thread(sidecar.logged, "tunnel_ended")
            text = await asyncio.to_thread(metrics, sidecar)

    who = {"id": listed["id"], "route": "default/app", "rule": "rooms", "client": "127.0.0.1"}
    how = {"reason": "client", "initiator": "client", "code": 4000, "messages_in": 1}
    assert opened.items() >= {**who, "port": port, "subprotocol": ""}.items()
    assert ended.items() >= {**who, **how, "messages_out": 1}.items()
    assert ended["bytes_in"] > ended["bytes_out"] > 5
    assert listed.items() >= {**who, "messagesIn": 1, "messagesOut": 1}.items()
    assert 0 < listed["clientRtt"] < 20
    assert 0 <= listed["idle"] <= listed["age"]
    assert {
        f"wsroute_tunnels_opened_total{{{LABELS}}} 1",
        f'wsroute_tunnels_ended_total{{{LABELS},reason="client",initiator="client",code="4xxx"}} 1',
        f"wsroute_tunnel_duration_seconds_count{{{LABELS}}} 1",
        f'wsroute_tunnel_messages_total{{{LABELS},direction="out"}} 1',
        f'wsroute_tunnel_bytes_total{{{LABELS},direction="in"}} {ended["bytes_in"]}',
    } <= set(text)


async def test_handshakes_that_fail_are_counted_by_their_cause() -> None:
    async with serve(echo, "127.0.0.1", 0, select_subprotocol=refuse) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        with Sidecar([routes_of(rules(port), hostnames=["a.test"])]) as sidecar:
            for path, status in {"/dead": 502, "/other": 403, "/plain": 403, "/": 400}.items():
                uri = f"ws://a.test{path}"
                with pytest.raises(InvalidStatus) as refused:
                    await connect(uri, host="127.0.0.1", port=sidecar.port, proxy=None)
                assert refused.value.response.status_code == status
            with pytest.raises(InvalidStatus):
                await connect(f"ws://127.0.0.1:{sidecar.port}/", proxy=None)
            text = await asyncio.to_thread(metrics, sidecar)
    failed = {line for line in text if line.startswith("wsroute_handshakes_failed_total{")}
    causes = ("backend_refused", "backend_unreachable", "no_route", "origin", "upgrade_disabled")
    assert failed == {f'wsroute_handshakes_failed_total{{cause="{cause}"}} 1' for cause in causes}


def refuse(connection: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    raise NegotiationError("none is spoken here")
