"""One request: check, match, police, then a tunnel or plain HTTP.

Nothing of a request that is refused reaches a backend, and the backend has agreed to a tunnel
before the client learns of it.
"""

from __future__ import annotations

import functools
import random
import secrets
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, NamedTuple

from wsroute_api.matching import Ambiguous, Candidate, Facts
from wsroute_sidecar import headers
from wsroute_sidecar.adapter import Exchange, Finished, Handler
from wsroute_sidecar.config import Settings
from wsroute_sidecar.dial import Bare, Refused, Switching
from wsroute_sidecar.engines import BareEngine, Engine
from wsroute_sidecar.flood import Limited
from wsroute_sidecar.handshake import (
    Answer,
    Switched,
    Upgrade,
    parse_head,
    upgrade_request,
    verdict,
)
from wsroute_sidecar.headers import NO_CHANGE, Client, Fields, Modifier
from wsroute_sidecar.metrics import Metrics
from wsroute_sidecar.policy import Policy, draw_limits, location, new_target, origin_allowed
from wsroute_sidecar.relay_types import Dial, DialError, Limits
from wsroute_sidecar.requests import ByName, Head, Refusal, check
from wsroute_sidecar.routes import Compiled, Live
from wsroute_sidecar.tunnels import Record, Tunnels, new_id

if TYPE_CHECKING:
    from wsroute_sidecar._relay import Request
    from wsroute_sidecar.plain import Backend
    from wsroute_sidecar.tracing import Span, Tracer

_refused: Final = Limited("request_refused")
Answering = Callable[[int, Handler], None]
"""Has the request answered that has come on a descriptor."""

Begin = Callable[["Request", str, int, Answering], bool]
"""As `Forwarder.begin`, of an engine."""


class _Routed(NamedTuple):
    """A request that belongs to a rule."""

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
        return self.upgrade.accept if self.modifier is NO_CHANGE else None

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
        return await self._told(exchange, self._handle(exchange))

    async def _told(self, exchange: Exchange, outcome: Awaitable[Finished | Refusal]) -> Finished:
        """Have `outcome` come about, and tell the client of it where it is a refusal."""
        exchange.last = self._tunnels.draining
        try:
            came = await outcome
        except DialError as error:
            came = Refusal(error.status, str(error), cause=error.cause)
            if exchange.body_is_broken:
                came = Refusal(400, "the request's body is malformed")
        if isinstance(came, Refusal):
            self._metrics.refused(came.status)
            if exchange.wants_upgrade:
                self._metrics.handshake_failed(came.cause)
            _refused(client=exchange.peer, status=came.status, why=came.why)
            return await refuse(exchange, came)
        return came

    async def _handle(self, exchange: Exchange) -> Finished | Refusal:
        head = check(exchange.method, exchange.target, exchange.version, exchange.headers)
        if isinstance(head, Refusal):
            return head
        upgrade = upgrade_request(head, exchange.version, has_body=exchange.has_body)
        if isinstance(upgrade, Refusal):
            return upgrade
        offered = upgrade.subprotocols if upgrade else ()
        routed = self._route(head, offered, exchange.peer, exchange.scheme)
        if isinstance(routed, Refusal):
            return routed
        if self._tracer is None:
            return await self._serve(exchange, routed, upgrade)
        with self._tracer.request(head, routed.policy) as span:
            return span.saw(await self._serve(exchange, routed._replace(span=span), upgrade))

    def _route(
        self, head: Head, offered: tuple[str, ...], peer: str, scheme: str
    ) -> _Routed | Refusal:
        """The rule that a request belongs to, whose client offers the subprotocols `offered`."""
        if headers.is_loop(head, self._identity):
            return Refusal(
                508, "this request has been here before: its backend sends it back", cause="loop"
            )
        if self._live.table is None:
            return Refusal(
                503,
                "no routes have arrived yet",
                (("Retry-After", "1"),),
                close=False,
                cause="no_routes_yet",
            )
        found = _match(self._live.table, head, offered)
        if isinstance(found, Refusal):
            return found
        candidate, policy = found
        sender = headers.client(peer, scheme, head, self._settings.trusted_proxies)
        if policy.redirect is not None:
            to = location(candidate, policy.redirect, head, sender.scheme)
            status = policy.redirect.status_code
            return Refusal(status, f"see {to}", (("Location", to),), close=False, cause="redirect")
        return _Routed(head, candidate, policy, sender)

    async def _serve(
        self, exchange: Exchange, routed: _Routed, upgrade: Upgrade | None
    ) -> Finished | Refusal:
        if upgrade is None:
            return await self._plain(exchange, routed)
        record = self._admit(routed)
        if isinstance(record, Refusal):
            return record
        opening = self._open(exchange, routed, upgrade, record)
        return await self._opened(exchange, routed.policy, record, opening)

    async def _plain(self, exchange: Exchange, routed: _Routed) -> Finished | Refusal:
        policy = routed.policy
        if policy.upgrade == "Required":
            return Refusal(
                426,
                "this address speaks WebSocket only",
                (("Upgrade", "websocket"), ("Connection", "Upgrade")),
            )
        begun = self._engine.time()
        answered = await self._backend.forward(
            exchange,
            port=policy.port,
            target=routed.target(),
            fields=self._fields(routed, new_id(), upgrade=False),
            modifier=policy.response_headers,
            limit=policy.request,
        )
        self._metrics.request(policy, answered.status, self._engine.time() - begun)
        return answered

    def _admit(self, routed: _Routed) -> Record | Refusal:
        """A place for a tunnel, which is to be given back if there comes none of it."""
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
        return self._tunnels.admit(policy, routed.sender.address)

    async def _open(
        self, exchange: Exchange, routed: _Routed, upgrade: Upgrade, record: Record
    ) -> Refused | None:
        policy = routed.policy
        head = _serialized(routed, self._fields(routed, record.id, upgrade=True))
        judge = Judge(upgrade, policy.response_headers)
        return await self._engine.open(
            exchange, self._dial(policy, head), judge, _drawn(policy), record
        )

    async def _opened(
        self,
        exchange: Exchange,
        policy: Policy,
        record: Record,
        opening: Awaitable[Refused | None],
    ) -> Finished:
        """Have a tunnel open, or its client answered as the backend has answered."""
        try:
            refused = await opening
            if refused is None:
                return Finished(keep_alive=False, status=101)
            self._metrics.handshake_failed("backend_refused")
            return await _refused_by_backend(exchange, refused, policy)
        finally:
            if record.tunnel is None:
                self._tunnels.release(record)

    def begin(
        self, engine: BareEngine, request: Request, peer: str, fd: int, answer: Answering
    ) -> bool:
        """Have a plain request to upgrade, which came on `fd`, become a tunnel.

        Where something stands against it, that is for who looks at it as at any request: `fd` is
        still the caller's if this is False, and is given to `answer` if it shows later.
        """
        if self._tracer is not None:
            return False
        routed = self._route(request, request.subprotocols, peer, "http")
        if isinstance(routed, Refusal):
            return False
        record = self._admit(routed)
        if isinstance(record, Refusal):
            return False
        policy = routed.policy

        def turned_down(left: int | None, came: Callable[[], Awaitable[Refused]]) -> None:
            if left is None:
                self._tunnels.release(record)
            else:
                answer(
                    left, lambda each: self._told(each, self._opened(each, policy, record, came()))
                )

        try:
            engine.begin(
                Bare(fd, request.early),
                self._dial(policy, self._head(routed, request, record.id)),
                Judge(Upgrade(request.accept, ()), policy.response_headers),
                _drawn(policy),
                record,
                turned_down=turned_down,
            )
        except BaseException:
            self._tunnels.release(record)
            raise
        return True

    def _head(self, routed: _Routed, request: Request, request_id: str) -> bytes:
        """The head that the backend gets, as `_fields` and `headers.serialize` have it."""
        policy = routed.policy
        if policy.request_headers is not NO_CHANGE:
            return _serialized(routed, self._fields(routed, request_id, upgrade=True))
        host = _host(routed)
        return request.head(routed.target(), host, routed.sender, self._identity, request_id)

    def _dial(self, policy: Policy, head: bytes) -> Dial:
        return Dial(self._settings.backend_host, policy.port, head, policy.handshake)

    def _fields(self, routed: _Routed, request_id: str, *, upgrade: bool) -> Fields:
        policy = routed.policy
        fields = headers.to_backend(
            routed.head,
            routed.sender,
            host=_host(routed),
            identity=self._identity,
            request_id=request_id.encode(),
            modifier=policy.request_headers,
            upgrade=upgrade,
        )
        return fields if routed.span is None else routed.span.carried(fields)


def _host(routed: _Routed) -> str:
    """The Host that the backend sees."""
    policy = routed.policy
    return policy.rewrite_host or routed.head.host or f"localhost:{policy.port}"


def _serialized(routed: _Routed, fields: Fields) -> bytes:
    return headers.serialize(f"GET {routed.target()} HTTP/1.1".encode(), fields)


def _drawn(policy: Policy) -> Limits:
    return draw_limits(policy, random.random())  # noqa: S311 - spreads load


def _match(
    table: Compiled, head: Head, offered: tuple[str, ...]
) -> tuple[Candidate, Policy] | Refusal:
    facts = Facts(
        head.hostname,
        head.path,
        head.method,
        _Lookup(head.fields),
        head.query,
        offered,
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
        found = self._fields.get(name.lower().encode(), ())
        return b", ".join(found).decode() if found else None


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
    writer = exchange.start(head, chunked=False)
    await writer.write_eof(body)
    return Finished(keep_alive=not close, status=refusal.status)
