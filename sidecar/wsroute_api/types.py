"""The v1alpha1 WebSocketRoute.

These structs are the one model: the CRD's schema is generated from them, the operator reads users'
objects with them, and a pushed snapshot carries them unchanged. Unknown fields are refused, so
that a sidecar which is older than a field says so instead of ignoring it. Words are Gateway API's
wherever it has them. Every field's description is what `kubectl explain` shows.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from wsroute_api import durations, quantities


class Model(
    msgspec.Struct,
    forbid_unknown_fields=True,
    frozen=True,
    gc=False,
    omit_defaults=True,
    rename="camel",
):
    """Base of all parts of the resource: immutable, camelCase on the wire, strict.

    None refers back to what holds it, so the collector has nothing to look for in them.
    """


def _rules(*rules: tuple[str, str]) -> dict[str, Any]:
    """CEL rules for the CRD: pairs of expression and message."""
    return {"x-kubernetes-validations": [{"rule": r, "message": m} for r, m in rules]}


def _only_with(kind: str, field: str) -> tuple[str, str]:
    """The CEL rule that `field` is there exactly when the type is `kind`."""
    return (
        f"self.type == '{kind}' ? has(self.{field}) : !has(self.{field})",
        f"{field} goes with type {kind}, and only with it",
    )


# RFC 9110 section 5.6.2, the token that header names, methods and subprotocols share.
_TOKEN = r"^[A-Za-z0-9!#$%&'*+\-.^_`|~]+\Z"  # noqa: S105 - a grammar, not a secret

Duration = Annotated[str, Meta(pattern=durations.PATTERN)]
Size = Annotated[str, Meta(pattern=quantities.PATTERN)]
PortNumber = Annotated[int, Meta(ge=1, le=65535)]
PortName = Annotated[
    str, Meta(min_length=1, max_length=15, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?\Z")
]
HeaderName = Annotated[str, Meta(min_length=1, max_length=256, pattern=_TOKEN)]
HeaderValue = Annotated[str, Meta(min_length=1, max_length=4096)]
PreciseHostname = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=253,
        pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\Z",
    ),
]
Hostname = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=253,
        pattern=r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\Z",
    ),
]
AbsolutePath = Annotated[str, Meta(min_length=1, max_length=1024, pattern=r"^/")]
Origin = Annotated[
    str,
    Meta(
        max_length=300,
        pattern=r"^(null|[a-z][a-z0-9+.\-]*://(\*\.)?[A-Za-z0-9.\-\[\]:]+)\Z",
    ),
]


Count = Annotated[int, Meta(ge=1, le=1_000_000)]
RuleName = Annotated[str, Meta(max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?\Z")]


class LabelSelectorRequirement(Model, frozen=True, kw_only=True):
    """One requirement of a Kubernetes label selector."""

    key: Annotated[str, Meta(max_length=317, description="Label that the requirement is about.")]
    operator: Annotated[
        Literal["In", "NotIn", "Exists", "DoesNotExist"],
        Meta(description="How the label relates to the values."),
    ]
    values: Annotated[
        list[Annotated[str, Meta(max_length=63)]],
        Meta(
            max_length=64,
            description="For In and NotIn, at least one value; otherwise none.",
        ),
    ] = []


class LabelSelector(Model, frozen=True, kw_only=True):
    """Kubernetes' label selector."""

    match_labels: Annotated[
        dict[str, Annotated[str, Meta(max_length=63)]],
        Meta(max_length=64, description="Labels that a pod must have, with these values."),
    ] = {}
    match_expressions: Annotated[
        list[LabelSelectorRequirement],
        Meta(max_length=32, description="Further requirements; all of them must hold."),
    ] = []


class PathMatch(Model, frozen=True, kw_only=True):
    """Gateway API HTTPPathMatch."""

    type: Annotated[
        Literal["Exact", "PathPrefix", "RegularExpression"],
        Meta(
            description="Exact; PathPrefix, which compares whole path elements; or "
            "RegularExpression, an RE2 expression that must match the whole path."
        ),
    ] = "PathPrefix"
    value: Annotated[
        str,
        Meta(min_length=1, max_length=1024, description="Path to compare with, without query."),
    ] = "/"


class HeaderMatch(Model, frozen=True, kw_only=True):
    """Gateway API HTTPHeaderMatch."""

    type: Annotated[
        Literal["Exact", "RegularExpression"],
        Meta(description="Exact, or an RE2 expression that must match the whole value."),
    ] = "Exact"
    name: Annotated[HeaderName, Meta(description="Name of the header; case does not matter.")]
    value: Annotated[HeaderValue, Meta(description="Value, or expression, to compare with.")]


class QueryParamMatch(Model, frozen=True, kw_only=True):
    """Gateway API HTTPQueryParamMatch."""

    type: Annotated[
        Literal["Exact", "RegularExpression"],
        Meta(description="Exact, or an RE2 expression that must match the whole value."),
    ] = "Exact"
    name: Annotated[
        str,
        Meta(min_length=1, max_length=256, description="Name of the parameter, case-sensitive."),
    ]
    value: Annotated[
        str,
        Meta(min_length=1, max_length=1024, description="Value, or expression, to compare with."),
    ]


class RouteMatch(Model, frozen=True, kw_only=True):
    """Gateway API HTTPRouteMatch, and the subprotocols that only a WebSocket has."""

    path: Annotated[
        PathMatch,
        Meta(
            description="Path of the request.",
            extra_json_schema=_rules(
                (
                    "(has(self.type) && self.type == 'RegularExpression') || !has(self.value)"
                    " || self.value.startsWith('/')",
                    "must be an absolute path, starting with /",
                ),
            ),
        ),
    ] = PathMatch()
    method: Annotated[
        Literal["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"] | None,
        Meta(description="Method of the request; a WebSocket handshake is a GET."),
    ] = None
    headers: Annotated[
        list[HeaderMatch],
        Meta(max_length=16, description="Headers that must all match."),
    ] = []
    query_params: Annotated[
        list[QueryParamMatch],
        Meta(max_length=16, description="Query parameters that must all match."),
    ] = []
    subprotocols: Annotated[
        list[Annotated[str, Meta(min_length=1, max_length=128, pattern=_TOKEN)]],
        Meta(
            max_length=16,
            description="The client must offer at least one of these in Sec-WebSocket-Protocol.",
        ),
    ] = []


class Header(Model, frozen=True, kw_only=True):
    """Gateway API HTTPHeader."""

    name: Annotated[HeaderName, Meta(description="Name of the header; case does not matter.")]
    value: Annotated[HeaderValue, Meta(description="Value of the header.")]


class HeaderModifier(Model, frozen=True, kw_only=True):
    """Gateway API HTTPHeaderFilter."""

    set: Annotated[
        list[Header], Meta(max_length=16, description="Headers to overwrite, or to add if missing.")
    ] = []
    add: Annotated[
        list[Header], Meta(max_length=16, description="Headers to append, keeping existing values.")
    ] = []
    remove: Annotated[
        list[HeaderName], Meta(max_length=16, description="Names of headers to remove.")
    ] = []


class PathModifier(Model, frozen=True, kw_only=True):
    """Gateway API HTTPPathModifier."""

    type: Annotated[
        Literal["ReplaceFullPath", "ReplacePrefixMatch"],
        Meta(description="Replace the whole path, or the prefix that a PathPrefix matched."),
    ]
    replace_full_path: Annotated[
        AbsolutePath | None, Meta(description="The new path; for ReplaceFullPath.")
    ] = None
    replace_prefix_match: Annotated[
        AbsolutePath | None, Meta(description="What replaces the prefix; for ReplacePrefixMatch.")
    ] = None


class URLRewrite(Model, frozen=True, kw_only=True):
    """Gateway API HTTPURLRewriteFilter."""

    hostname: Annotated[
        PreciseHostname | None, Meta(description="Host header that the backend receives.")
    ] = None
    path: Annotated[
        PathModifier | None, Meta(description="Change of the path that the backend receives.")
    ] = None


class RequestRedirect(Model, frozen=True, kw_only=True):
    """Gateway API HTTPRequestRedirectFilter."""

    scheme: Annotated[
        Literal["http", "https"] | None,
        Meta(description="Scheme of the Location; default: the request's."),
    ] = None
    hostname: Annotated[
        PreciseHostname | None,
        Meta(description="Host of the Location; default: the request's."),
    ] = None
    path: Annotated[
        PathModifier | None, Meta(description="Path of the Location; default: the request's.")
    ] = None
    port: Annotated[
        PortNumber | None, Meta(description="Port of the Location; default: the scheme's.")
    ] = None
    status_code: Annotated[
        Literal[301, 302, 303, 307, 308], Meta(description="Status of the redirect.")
    ] = 302


class Filter(Model, frozen=True, kw_only=True):
    """Gateway API HTTPRouteFilter, of the types that wsroute has."""

    type: Annotated[
        Literal["RequestHeaderModifier", "ResponseHeaderModifier", "URLRewrite", "RequestRedirect"],
        Meta(description="Which filter this is; exactly its own field is set."),
    ]
    request_header_modifier: Annotated[
        HeaderModifier | None, Meta(description="Changes the request's headers.")
    ] = None
    response_header_modifier: Annotated[
        HeaderModifier | None,
        Meta(description="Changes the response's headers, a handshake's among them."),
    ] = None
    url_rewrite: Annotated[
        URLRewrite | None,
        Meta(description="Changes the host or path that the backend receives."),
    ] = None
    request_redirect: Annotated[
        RequestRedirect | None, Meta(description="Answers with a redirect; no backend is called.")
    ] = None


class Backend(Model, frozen=True, kw_only=True):
    """Where a rule's requests go: always the same pod."""

    port: Annotated[
        PortNumber | PortName,
        Meta(
            description="Number, or name, of a container port of the same pod. There is no host: "
            "the sidecar only ever dials its own pod.",
            extra_json_schema={"maxLength": 15}  # of a name; it bounds what the rules cost
            | _rules(
                (
                    "type(self) == string || (self >= 1 && self <= 65535"
                    " && !(self in [9300, 9301, 9302]))",
                    "must be 1 to 65535 and none of the sidecar's own ports 9300, 9301, 9302",
                ),
                (
                    "type(self) == int || self.matches('^[a-z0-9]([-a-z0-9]{0,13}[a-z0-9])?$')",
                    "must be a port number or the name of a container port",
                ),
            ),
        ),
    ]


class Timeouts(Model, frozen=True, kw_only=True):
    """Gateway API HTTPRouteTimeouts, and the one that only an upgrade has."""

    handshake: Annotated[
        Duration | None,
        Meta(
            description="From the client's upgrade request to the backend's complete answer; "
            "504 beyond it. Default 10s; 0s disables."
        ),
    ] = None
    request: Annotated[
        Duration | None,
        Meta(
            description="For a plain HTTP request, up to the end of the response; never for a "
            "tunnel. Default 60s; 0s disables."
        ),
    ] = None


class Connection(Model, frozen=True, kw_only=True):
    """How long a tunnel may live."""

    idle_timeout: Annotated[
        Duration | None,
        Meta(description="End a tunnel that is idle for so long. Default 1h; 0s disables."),
    ] = None
    idle_counts: Annotated[
        Literal["AllFrames", "DataFrames"],
        Meta(
            description="What keeps a tunnel from being idle: all frames, or data frames only, "
            "so that pings and pongs do not count."
        ),
    ] = "AllFrames"
    max_duration: Annotated[
        Duration | None,
        Meta(description="End a tunnel at this age, active or not. Default: never."),
    ] = None
    max_duration_jitter: Annotated[
        int,
        Meta(
            ge=0,
            le=100,
            description="Percent of maxDuration that is added at random, so that connections "
            "which began together do not end together.",
        ),
    ] = 0


class Keepalive(Model, frozen=True, kw_only=True):
    """Pings that the sidecar sends to both sides of a tunnel."""

    ping_interval: Annotated[
        Duration, Meta(description="Time between two pings to each side of a tunnel.")
    ]
    pong_timeout: Annotated[
        Duration | None,
        Meta(
            description="A side that does not answer a ping for so long is taken for dead and "
            "the tunnel is closed. Default 10s; 0s only measures."
        ),
    ] = None


class Drain(Model, frozen=True, kw_only=True):
    """How tunnels end when the pod or the route goes."""

    timeout: Annotated[
        Duration | None,
        Meta(
            description="Window over which Close frames are spread; what is still open at its "
            "end is cut. Default 30s."
        ),
    ] = None
    close_code: Annotated[
        int,
        Meta(
            ge=1000,
            le=4999,
            description="Close code that both sides receive (RFC 6455 section 7.4).",
            extra_json_schema=_rules(
                (
                    "self >= 3000 || (self in [1000, 1001, 1008, 1011, 1012, 1013])",
                    "must be 1000, 1001, 1008, 1011, 1012, 1013 or 3000 to 4999: other codes "
                    "are not a server's to send",
                ),
            ),
        ),
    ] = 1001
    on_route_change: Annotated[
        Literal["Keep", "Drain", "Close"],
        Meta(
            description="What happens to live tunnels when their route is changed or deleted: "
            "Keep leaves them alone, Drain ends them over the drain window, Close ends them now."
        ),
    ] = "Keep"


class Limits(Model, frozen=True, kw_only=True):
    """Bounds of a rule, counted by each sidecar on its own."""

    max_connections: Annotated[
        Count | None,
        Meta(description="Open tunnels; 503 beyond it. Default: no limit."),
    ] = None
    max_connections_per_client: Annotated[
        Count | None,
        Meta(
            description="Open tunnels of one client address; 429 beyond it. Default: no limit.",
        ),
    ] = None
    max_message_size: Annotated[
        Size | None,
        Meta(
            description="Bytes in one WebSocket message, as sent on the wire; Close 1009 beyond "
            "it. Default: no limit."
        ),
    ] = None
    handshakes_per_second: Annotated[
        Count | None,
        Meta(
            description="Upgrade requests a second, with bursts of the same size; 429 beyond "
            "it. Default: no limit.",
        ),
    ] = None


class Rule(Model, frozen=True, kw_only=True):
    """One rule: what it matches, and what happens then."""

    name: Annotated[
        RuleName | None,
        Meta(
            description="Name of the rule, unique in the route; shown in logs, metrics and "
            "listings.",
        ),
    ] = None
    matches: Annotated[
        list[RouteMatch],
        Meta(
            max_length=8,
            description="The rule applies when any of these matches. Default: every path.",
        ),
    ] = []
    filters: Annotated[
        list[
            Annotated[
                Filter,
                Meta(
                    extra_json_schema=_rules(
                        _only_with("RequestHeaderModifier", "requestHeaderModifier"),
                        _only_with("ResponseHeaderModifier", "responseHeaderModifier"),
                        _only_with("URLRewrite", "urlRewrite"),
                        _only_with("RequestRedirect", "requestRedirect"),
                    )
                ),
            ]
        ],
        Meta(max_length=8, description="Changes to the request and to the response."),
    ] = []
    backend: Annotated[Backend, Meta(description="Where matching requests go.")]
    upgrade: Annotated[
        Literal["Optional", "Required", "Disabled"],
        Meta(
            description="Whether requests may, must or must not upgrade to WebSocket. Required "
            "answers 426 to others; Disabled answers 403 to an upgrade."
        ),
    ] = "Optional"
    allowed_origins: Annotated[
        list[Origin],
        Meta(
            max_length=64,
            description="Origins that may open a WebSocket, with an optional leading wildcard "
            "in the host, such as https://*.example.com. Others receive 403, and so does a "
            "request without an Origin unless null is listed. Default: every origin.",
        ),
    ] = []
    timeouts: Annotated[Timeouts, Meta(description="Bounds on waiting for the backend.")] = (
        Timeouts()
    )
    connection: Annotated[Connection, Meta(description="Lifetimes of tunnels.")] = Connection()
    keepalive: Annotated[
        Keepalive | None, Meta(description="Pings from the sidecar. Default: none.")
    ] = None
    drain: Annotated[Drain, Meta(description="How tunnels end with the pod or the route.")] = (
        Drain()
    )
    limits: Annotated[Limits, Meta(description="Bounds on connections and messages.")] = Limits()


class RouteSpec(Model, frozen=True, kw_only=True):
    """What a user declares."""

    selector: Annotated[
        LabelSelector,
        Meta(
            description="Pods of the route's own namespace that serve it; required, not empty.",
            extra_json_schema=_rules(
                (
                    "(has(self.matchLabels) && size(self.matchLabels) > 0) || "
                    "(has(self.matchExpressions) && size(self.matchExpressions) > 0)",
                    "must select by at least one label: an empty selector would take every pod",
                ),
            ),
        ),
    ]
    hostnames: Annotated[
        list[Hostname],
        Meta(
            max_length=16,
            description="Hosts that the route is for; a leading *. stands for one or more "
            "labels. Default: every host.",
        ),
    ] = []
    rules: Annotated[
        list[Rule],
        Meta(
            min_length=1,
            max_length=16,
            description="What the route does, 1 to 16 rules.",
            extra_json_schema=_rules(
                (
                    "self.all(a, !has(a.name) || self.exists_one(b, has(b.name)"
                    " && a.name == b.name))",
                    "names of rules must be unique in the route",
                ),
            ),
        ),
    ]


class Route(Model, frozen=True, kw_only=True):
    """A route as it is planned, pushed and served: its identity and its spec."""

    namespace: str
    name: str
    generation: int
    created: str
    """metadata.creationTimestamp, RFC 3339; the older route wins an exact tie."""
    spec: RouteSpec

    @property
    def key(self) -> str:
        """`namespace/name`, as people write it."""
        return f"{self.namespace}/{self.name}"


class Table(Model, frozen=True, kw_only=True):
    """All that one pod's sidecar serves: what a snapshot carries."""

    namespace: str
    routes: list[Route] = []
    ports: dict[str, int] = {}
    """Container ports of the pod by name, for backends that are named."""
