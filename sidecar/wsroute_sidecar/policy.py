"""A rule's settings as numbers, worked out once when a table is compiled."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import msgspec

from wsroute_api import contract, durations, quantities
from wsroute_api.matching import Candidate
from wsroute_api.types import Filter, PathModifier, RequestRedirect, Route, Rule
from wsroute_sidecar.headers import Modifier
from wsroute_sidecar.relay_types import Limits
from wsroute_sidecar.requests import Head

DEFAULT_HANDSHAKE: Final = 10.0
DEFAULT_REQUEST: Final = 60.0
DEFAULT_IDLE: Final = 3600.0
DEFAULT_PONG: Final = 10.0
DEFAULT_DRAIN: Final = 30.0


class Policy(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What holds for the requests of one rule. Times in seconds; None is no limit."""

    key: str
    """`namespace/name` of the route."""
    rule: str
    """The rule's name, or its index."""
    generation: int
    fingerprint: bytes
    """Equal for equal rules: what tells whether a live tunnel's route has changed."""
    port: int
    upgrade: str
    origins: tuple[re.Pattern[str], ...]
    handshake: float | None
    request: float | None
    limits: Limits
    """What holds for each tunnel, before its jitter is drawn."""
    jitter: float
    """Share of the maximum duration that is added at most, 0 to 1."""
    drain: float
    close_code: int
    on_route_change: str
    max_connections: int | None
    max_per_client: int | None
    handshake_rate: int | None
    request_headers: Modifier
    response_headers: Modifier
    rewrite_host: str | None
    rewrite_path: PathModifier | None
    redirect: RequestRedirect | None


def compile_rule(route: Route, index: int, ports: Mapping[str, int]) -> Policy:
    """The policy of rule `index` of `route`; ValueError where it names a port that is not there."""
    rule = route.spec.rules[index]
    filters: dict[str, Filter] = {item.type: item for item in rule.filters}
    request = filters.get("RequestHeaderModifier")
    response = filters.get("ResponseHeaderModifier")
    rewrite = filters["URLRewrite"].url_rewrite if "URLRewrite" in filters else None
    redirect = filters["RequestRedirect"].request_redirect if "RequestRedirect" in filters else None
    return Policy(
        key=route.key,
        rule=rule.name or str(index),
        generation=route.generation,
        fingerprint=msgspec.json.encode((rule, route.spec.hostnames), order="deterministic"),
        port=_port(rule, index, ports),
        upgrade=rule.upgrade,
        origins=tuple(_origin(text) for text in rule.allowed_origins),
        handshake=durations.effective(rule.timeouts.handshake, DEFAULT_HANDSHAKE),
        request=durations.effective(rule.timeouts.request, DEFAULT_REQUEST),
        limits=_limits(rule),
        jitter=rule.connection.max_duration_jitter / 100,
        drain=durations.effective(rule.drain.timeout, DEFAULT_DRAIN) or 0.0,
        close_code=rule.drain.close_code,
        on_route_change=rule.drain.on_route_change,
        max_connections=rule.limits.max_connections,
        max_per_client=rule.limits.max_connections_per_client,
        handshake_rate=rule.limits.handshakes_per_second,
        request_headers=Modifier.of(request.request_header_modifier if request else None),
        response_headers=Modifier.of(response.response_header_modifier if response else None),
        rewrite_host=rewrite.hostname if rewrite else None,
        rewrite_path=rewrite.path if rewrite else None,
        redirect=redirect,
    )


def _limits(rule: Rule) -> Limits:
    connection, keepalive, size = rule.connection, rule.keepalive, rule.limits.max_message_size
    return Limits(
        idle=durations.effective(connection.idle_timeout, DEFAULT_IDLE),
        idle_data_only=connection.idle_counts == "DataFrames",
        max_age=durations.effective(connection.max_duration, None),
        ping_interval=durations.effective(keepalive.ping_interval, None) if keepalive else None,
        pong_timeout=(
            durations.effective(keepalive.pong_timeout, DEFAULT_PONG) if keepalive else None
        ),
        max_message=quantities.parse_bytes(size) if size else None,
    )


def draw_limits(policy: Policy, chance: float) -> Limits:
    """The limits of one tunnel, its jitter drawn by `chance`, 0 to 1."""
    limits = policy.limits
    if limits.max_age is None or not policy.jitter:
        return limits
    return msgspec.structs.replace(limits, max_age=limits.max_age * (1 + policy.jitter * chance))


def _port(rule: Rule, index: int, ports: Mapping[str, int]) -> int:
    port = rule.backend.port
    if isinstance(port, int):
        return port
    if port not in ports:
        known = ", ".join(sorted(ports)) or "none"
        raise ValueError(f"spec.rules[{index}].backend.port: no port {port!r} here; known: {known}")
    if ports[port] in contract.SIDECAR_PORTS:
        raise ValueError(f"spec.rules[{index}].backend.port: {port!r} is the sidecar's own port")
    return ports[port]


def _origin(text: str) -> re.Pattern[str]:
    """A leading *. in the host stands for one or more labels, as in hostnames."""
    scheme, separator, host = text.partition("://")
    labels = r"(?:[a-z0-9_-]+\.)+" if host.startswith("*.") else ""
    host = re.escape(host.removeprefix("*."))
    return re.compile(f"(?i){re.escape(scheme + separator)}{labels}{host}\\Z")


def origin_allowed(policy: Policy, origin: str | None) -> bool:
    """Whether a handshake from `origin` may go on; a missing Origin counts as null."""
    if not policy.origins:
        return True
    return any(pattern.match(origin or "null") for pattern in policy.origins)


def new_target(found: Candidate, change: PathModifier | None, head: Head) -> str:
    """Path and query that the backend receives."""
    if change is None:
        return head.target
    query = head.target[len(head.path) :]
    if change.replace_full_path is not None:
        return change.replace_full_path + query
    prefix = found.path.value.rstrip("/")
    rest = head.path[len(prefix) :]
    new = (change.replace_prefix_match or "/").rstrip("/")
    return ((new + rest) or "/") + query


def location(found: Candidate, redirect: RequestRedirect, head: Head, scheme: str) -> str:
    """The absolute Location of a redirect (Gateway API HTTPRequestRedirectFilter)."""
    target_scheme = redirect.scheme or scheme
    host = redirect.hostname or head.hostname
    port = redirect.port
    if port is None and redirect.scheme is None:
        text = head.host.rpartition(":")[2] if not head.host.endswith("]") else ""
        port = int(text) if text.isdigit() and text != head.host else None
    default = 443 if target_scheme == "https" else 80
    authority = host if port in (None, default) else f"{host}:{port}"
    return f"{target_scheme}://{authority}{new_target(found, redirect.path, head)}"
