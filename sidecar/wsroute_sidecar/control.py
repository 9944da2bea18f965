"""Management over a Unix socket inside the container: list, close, drain.

Whoever can open the socket may do all of it; its file mode and the container are the border.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from wsroute_sidecar.drain import Drainer
from wsroute_sidecar.frames import close_frame
from wsroute_sidecar.ports import Port, Reply, Request, reply
from wsroute_sidecar.relay_types import Reason
from wsroute_sidecar.routes import Live
from wsroute_sidecar.tunnels import Ended, Record, Tunnels
from wsroute_sidecar.turns import in_turns

_LISTED_AT_ONCE: Final = 100
_LONGEST_ACCEPT: Final = 60.0
_ENDED_AT_ONCE: Final = 10


class CloseOrder(msgspec.Struct, forbid_unknown_fields=True):
    """Body of POST /v1/close: one tunnel, or all of a route."""

    id: str | None = None
    route: str | None = None
    code: int = 1001
    reason: str = "closed by an administrator"


def port(live: Live, tunnels: Tunnels, drainer: Drainer) -> Port:
    """The control socket's HTTP interface."""

    async def connections(request: Request) -> Reply:
        now, route = tunnels.time(), request.query.get("route")
        live_ones = [
            _listed(record, now)
            async for record in in_turns(tunnels, _LISTED_AT_ONCE)
            if record.tunnel is not None and route in (None, record.policy.key)
        ]
        ended = [_gone(item, now) for item in tunnels.ended]
        return reply(200, connections=live_ones, ended=ended)

    async def close(request: Request) -> Reply:
        try:
            order = msgspec.json.decode(await request.read(), type=CloseOrder)
            close_frame(order.code, order.reason, mask=False)
        except (msgspec.MsgspecError, ValueError) as error:
            return reply(400, error=str(error))
        chosen = [record for record in tunnels if _is_meant(record, order)]
        async for record in in_turns(chosen, _ENDED_AT_ONCE):
            if record.tunnel is not None and record in tunnels:
                record.tunnel.end(Reason.KILLED, order.code, order.reason)
        return reply(200 if chosen else 404, closed=len(chosen))

    async def drain(request: Request) -> Reply:
        try:
            drainer.drain(accept=_seconds(request.query.get("accept", "0")))
        except ValueError as error:
            return reply(400, error=f"accept: {error}")
        if request.query.get("wait"):
            await drainer.drained()
        return reply(200, open=len(tunnels))

    async def routes(_: Request) -> Reply:
        table = live.table
        listed = [] if table is None else [msgspec.to_builtins(route) for route in table.routes]
        return reply(200, routes=listed)

    return Port(
        {
            "/v1/connections": {"GET": connections},
            "/v1/close": {"POST": close},
            "/v1/drain": {"POST": drain},
            "/v1/routes": {"GET": routes},
        }
    )


def _is_meant(record: Record, order: CloseOrder) -> bool:
    if record.tunnel is None or (order.id is None and order.route is None):
        return False
    return order.id in (None, record.id) and order.route in (None, record.policy.key)


def _listed(record: Record, now: float) -> dict[str, Any]:
    assert record.tunnel is not None  # noqa: S101 - the caller has looked
    stats = record.tunnel.stats()
    return {
        **record.facts(),
        "subprotocol": record.subprotocol,
        "age": round(now - stats.opened, 3),
        "idle": round(now - stats.active, 3),
        "bytesIn": stats.bytes_in,
        "bytesOut": stats.bytes_out,
        "messagesIn": stats.messages_in,
        "messagesOut": stats.messages_out,
        "clientRtt": stats.client_rtt,
        "backendRtt": stats.backend_rtt,
    }


def _gone(item: Ended, now: float) -> dict[str, Any]:
    return {
        **item.record.facts(),
        "reason": item.end.reason,
        "initiator": item.end.initiator,
        "closeCode": item.end.code,
        "detail": item.end.detail,
        "age": round(item.age, 3),
        "endedAgo": round(now - item.at, 3),
    }


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds <= _LONGEST_ACCEPT:
        raise ValueError(f"{text} is not from 0 to {_LONGEST_ACCEPT:g} seconds")
    return seconds
