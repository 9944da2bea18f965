"""One request: check, match, police, then a tunnel or plain HTTP.

Nothing of a request that is refused reaches a backend, and the backend has agreed to a tunnel
before the client learns of it.
"""

from __future__ import annotations

import functools
import random
import secrets
from typing import TYPE_CHECKING, Final, NamedTuple

from wsroute_api.matching import Ambiguous, Candidate, Facts
from wsroute_sidecar import headers
from wsroute_sidecar.adapter import Exchange, Finished
from wsroute_sidecar.config import Settings
from wsroute_sidecar.dial import Refused, Switching
from wsroute_sidecar.engines import Engine
from wsroute_sidecar.flood import Limited
from wsroute_sidecar.handshake import (
    Answer,
    Switched,
    Upgrade,
    parse_head,
    upgrade_request,
    verdict,
)
from wsroute_sidecar.headers import Client, Fields, Modifier
from wsroute_sidecar.metrics import Metrics
from wsroute_sidecar.policy import Policy, draw_limits, location, new_target, origin_allowed
from wsroute_sidecar.relay_types import Dial, DialError
from wsroute_sidecar.requests import ByName, Head, Refusal, check
from wsroute_sidecar.routes import Compiled, Live
from wsroute_sidecar.tunnels import Record, Tunnels, new_id

if TYPE_CHECKING:
    from wsroute_sidecar.plain import Backend
    from wsroute_sidecar.tracing import Span, Tracer

_refused: Final = Limited("request_refused")
_NO_CHANGE: Final = Modifier()


class _Routed(NamedTuple):
    """A request that belongs to a rule."""

    exchange: Exchange
    head: Head
    candidate: Candidate
    policy: Policy
    sender: Client
    span: Span | None = None

    def target(self) -> str:
        """Path and query that the backend receives."""
        return new_target(self.candidate, self.policy.rewrite_path, self.head)


class Judge(NamedTuple):
    """What the backend's answers to an upgrade mean, and what the client gets then."""

    upgrade: Upgrade
    modifier: Modifier

    @property
    def accept(self) -> bytes | None:
        """As `dial.Judge` has it."""
        return self.upgrade.accept if self.modifier == _NO_CHANGE else None

    def __call__(self, raw: bytes) -> Switching | Answer:
        """As `dial.Judge` has it."""
        answer = verdict(parse_head(raw), self.upgrade)
        if isinstance(answer, Switched):
            head = headers.switching(answer.headers, self.modifier)
            return Switching(head, answer.subprotocol)
        return answer


class Forwarder:
    """Handles all requests of the data port."""

    def __init__(
        self,
        *,
        settings: Settings,
        live: Live,
        tunnels: Tunnels,
        engine: Engine,
        metrics: Metrics,
        tracer: Tracer | None = None,
    ) -> None:
        self._settings: Final = settings
        self._live: Final = live
        self._tunnels: Final = tunnels
        self._engine: Final = engine
        self._metrics: Final = metrics
        self._tracer: Final = tracer
        self._identity: Final = f"wsroute-{secrets.token_hex(4)}".encode()

    @functools.cached_property
    def _backend(self) -> Backend:
        from wsroute_sidecar.plain import Backend  # noqa: PLC0415 - 6 MB for who needs them

        return Backend(self._settings.backend_host)

    async def close(self) -> None:
        """Close the connections that are kept for plain HTTP."""
        if "_backend" in vars(self):
            await self._backend.close()

    async def __call__(self, exchange: Exchange) -> Finished:
        """Answer one request. In a drain its connection ends: the next one finds another pod."""
        exchange.last = self._tunnels.draining
        try:
            outcome = await self._handle(exchange)
        except DialError as error:
            outcome = Refusal(error.status, str(error), cause=error.cause)
            if exchange.body_is_broken:
                outcome = Refusal(400, "the request's body is malformed")
        if isinstance(outcome, Refusal):
            self._metrics.refused(outcome.status)
            if exchange.wants_upgrade:
                self._metrics.handshake_failed(outcome.cause)
            _refused(client=exchange.peer, status=outcome.status, why=outcome.why)
            return await refuse(exchange, outcome)
        return outcome

    async def _handle(self, exchange: Exchange) -> Finished | Refusal:
        head = check(exchange.method, exchange.target, exchange.version, exchange.headers)
        if isinstance(head, Refusal):
            return head
        if headers.is_loop(head, self._identity):
            return Refusal(
                508, "this request has been here before: its backend sends it back", cause="loop"
            )
        upgrade = upgrade_request(head, exchange.version, has_body=exchange.has_body)
        if isinstance(upgrade, Refusal):
            return upgrade
        if self._live.table is None:
            return Refusal(
                503,
                "no routes have arrived yet",
                (("Retry-After", "1"),),
                close=False,
                cause="no_routes_yet",
            )
        found = _match(self._live.table, head, upgrade)
        if isinstance(found, Refusal):
            return found
        candidate, policy = found
        sender = headers.client(
            exchange.peer, exchange.scheme, head, self._settings.trusted_proxies
        )
        if policy.redirect is not None:
            to = location(candidate, policy.redirect, head, sender.scheme)
            status = policy.redirect.status_code
            return Refusal(status, f"see {to}", (("Location", to),), close=False, cause="redirect")
        routed = _Routed(exchange, head, candidate, policy, sender)
        if self._tracer is None:
            return await self._serve(routed, upgrade)
        with self._tracer.request(head, policy) as span:
            return span.saw(await self._serve(routed._replace(span=span), upgrade))

    async def _serve(self, routed: _Routed, upgrade: Upgrade | None) -> Finished | Refusal:
        if upgrade is None:
            return await self._plain(routed)
        return await self._tunnel(routed, upgrade)

    async def _plain(self, routed: _Routed) -> Finished | Refusal:
        policy = routed.policy
        if policy.upgrade == "Required":
            return Refusal(
                426,
                "this address speaks WebSocket only",
                (("Upgrade", "websocket"), ("Connection", "Upgrade")),
            )
        begun = self._engine.time()
        await routed.exchange.settle()
        answered = await self._backend.forward(
            routed.exchange,
            port=policy.port,
            target=routed.target(),
            fields=self._fields(routed, new_id(), upgrade=False),
            modifier=policy.response_headers,
            limit=policy.request,
        )
        self._metrics.request(policy, answered.status, self._engine.time() - begun)
        return answered

    async def _tunnel(self, routed: _Routed, upgrade: Upgrade) -> Finished | Refusal:
        policy = routed.policy
        if policy.upgrade == "Disabled":
            return Refusal(
                403, "this address does not speak WebSocket", close=False, cause="upgrade_disabled"
            )
        origins = routed.head.fields.get(b"origin", ())
        origin = origins[0].decode() if len(origins) == 1 else None
        if len(origins) > 1 or not origin_allowed(policy, origin):
            return Refusal(
                403, f"origin {origin or 'null'} may not open a WebSocket here", cause="origin"
            )
        record = self._tunnels.admit(policy, routed.sender.address)
        if isinstance(record, Refusal):
            return record
        try:
            return await self._open(routed, upgrade, record)
        finally:
            if record.tunnel is None:
                self._tunnels.release(record)

    async def _open(self, routed: _Routed, upgrade: Upgrade, record: Record) -> Finished:
        policy, exchange = routed.policy, routed.exchange
        start = f"GET {routed.target()} HTTP/1.1".encode()
        fields = self._fields(routed, record.id, upgrade=True)
        dial = Dial(
            self._settings.backend_host,
            policy.port,
            headers.serialize(start, fields),
            policy.handshake,
        )
        judge = Judge(upgrade, policy.response_headers)
        drawn = draw_limits(policy, random.random())  # noqa: S311 - spreads load
        refused = await self._engine.open(exchange, dial, judge, drawn, record)
        if refused is not None:
            self._metrics.handshake_failed("backend_refused")
            return await _refused_by_backend(exchange, refused, policy)
        return Finished(keep_alive=False, status=101)

    def _fields(self, routed: _Routed, request_id: str, *, upgrade: bool) -> Fields:
        policy = routed.policy
        fields = headers.to_backend(
            routed.head,
            routed.sender,
            host=policy.rewrite_host or routed.head.host or f"localhost:{policy.port}",
            identity=self._identity,
            request_id=request_id.encode(),
            modifier=policy.request_headers,
            upgrade=upgrade,
        )
        return fields if routed.span is None else routed.span.carried(fields)


def _match(
    table: Compiled, head: Head, upgrade: Upgrade | None
) -> tuple[Candidate, Policy] | Refusal:
    facts = Facts(
        head.hostname,
        head.path,
        head.method,
        _Lookup(head.fields),
        head.query,
        upgrade.subprotocols if upgrade else (),
    )
    found = table.find(facts)
    if found is None:
        return Refusal(
            404, f"no route is for {head.hostname}{head.path}", close=False, cause="no_route"
        )
    if isinstance(found, Ambiguous):
        return Refusal(
            400,
            "the path can be read in several ways that belong to different routes",
            cause="ambiguous",
        )
    return found


class _Lookup:
    """Header values by name, whatever its case; repeated fields are joined (RFC 9110 5.3)."""

    __slots__ = ("_fields",)

    def __init__(self, fields: ByName) -> None:
        self._fields: Final = fields

    def get(self, name: str) -> str | None:
        found = self._fields.get(name.lower().encode())
        return None if found is None else b", ".join(found).decode()


async def _refused_by_backend(exchange: Exchange, answer: Refused, policy: Policy) -> Finished:
    from wsroute_sidecar.plain import refused  # noqa: PLC0415 - as in Forwarder

    return await refused(exchange, answer, policy.port, policy.response_headers, policy.request)


async def refuse(exchange: Exchange, refusal: Refusal) -> Finished:
    """Answer with a status and one line of text."""
    close = refusal.close or not exchange.keep_alive or exchange.has_body
    head, body = headers.refusal(
        refusal.status,
        refusal.why,
        refusal.headers,
        close=close,
        bodiless=exchange.method == "HEAD",
    )
    await exchange.settle()
    writer = exchange.start(head, chunked=False)
    await writer.write_eof(body)
    return Finished(keep_alive=not close, status=refusal.status)
