"""What the types themselves refuse, and that they lose nothing on the wire."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.support.sidecar import route
from wsroute_api.problems import InvalidRouteError, route_from_object
from wsroute_api.types import Route, RouteSpec, Table

EVERYTHING: dict[str, Any] = {
    "selector": {
        "matchLabels": {"app": "chat"},
        "matchExpressions": [{"key": "tier", "operator": "In", "values": ["gold"]}],
    },
    "hostnames": ["chat.example.com", "*.example.org"],
    "rules": [
        {
            "name": "rooms",
            "matches": [
                {
                    "path": {"type": "Exact", "value": "/ws"},
                    "method": "GET",
                    "headers": [{"type": "RegularExpression", "name": "X-Tier", "value": "g.*"}],
                    "queryParams": [{"name": "v", "value": "2"}],
                    "subprotocols": ["graphql-transport-ws"],
                }
            ],
            "filters": [
                {
                    "type": "URLRewrite",
                    "urlRewrite": {
                        "hostname": "internal",
                        "path": {"type": "ReplaceFullPath", "replaceFullPath": "/x"},
                    },
                }
            ],
            "backend": {"port": "http"},
            "upgrade": "Required",
            "allowedOrigins": ["https://*.example.com", "null"],
            "timeouts": {"handshake": "5s", "request": "0s"},
            "connection": {
                "idleTimeout": "2h",
                "idleCounts": "DataFrames",
                "maxDuration": "8h",
                "maxDurationJitter": 10,
            },
            "keepalive": {"pingInterval": "30s", "pongTimeout": "5s"},
            "drain": {"timeout": "45s", "closeCode": 1012, "onRouteChange": "Drain"},
            "limits": {
                "maxConnections": 5000,
                "maxConnectionsPerClient": 20,
                "maxMessageSize": "16Mi",
                "handshakesPerSecond": 200,
            },
        }
    ],
}


def test_a_spec_with_every_field_survives_the_wire() -> None:
    spec = msgspec.convert(EVERYTHING, RouteSpec)
    assert msgspec.json.decode(msgspec.json.encode(spec), type=RouteSpec) == spec


def test_fields_at_their_defaults_are_not_sent() -> None:
    spec = {"selector": {"matchLabels": {"app": "chat"}}, "rules": [{"backend": {"port": 8080}}]}
    assert msgspec.to_builtins(msgspec.convert(spec, RouteSpec)) == spec


@pytest.mark.parametrize(
    ("path", "value", "where"),
    [
        pytest.param(("unknown",), 1, "spec: ", id="an unknown field of the spec"),
        pytest.param(("rules", 0, "host"), "a", "spec.rules[0]: ", id="a backend's host"),
        pytest.param(
            ("rules", 0, "backend", "host"),
            "a",
            "spec.rules[0].backend: ",
            id="a host beside the port",
        ),
        pytest.param(("rules",), [], "spec.rules: ", id="no rules"),
        pytest.param(("rules",), [{"backend": {"port": 1}}] * 17, "spec.rules: ", id="17 rules"),
        pytest.param(("selector",), None, "spec.selector: ", id="a null selector"),
        pytest.param(("hostnames",), ["Chat.example"], "spec.hostnames[0]: ", id="capitals"),
        pytest.param(("hostnames",), ["a.*.b"], "spec.hostnames[0]: ", id="an inner wildcard"),
        pytest.param(("hostnames",), ["*"], "spec.hostnames[0]: ", id="a bare wildcard"),
        pytest.param(("hostnames",), ["a\n"], "spec.hostnames[0]: ", id="a host and a newline"),
        pytest.param(("hostnames",), ["a:80"], "spec.hostnames[0]: ", id="a host with its port"),
        *(
            pytest.param(
                ("rules", 0, "backend", "port"),
                port,
                "spec.rules[0].backend.port: ",
                id=f"port {port!r}",
            )
            for port in (0, 65536, -1, "", "Http", "a" * 16, "-a", "a\n", 80.5, True, None)
        ),
        *(
            pytest.param(
                ("rules", 0, "timeouts", "handshake"),
                text,
                "spec.rules[0].timeouts.handshake: ",
                id=f"duration {text!r}",
            )
            for text in ("10", "1d", "-1s", "1s\n", 10)
        ),
        *(
            pytest.param(
                ("rules", 0, "limits", "maxMessageSize"),
                text,
                "spec.rules[0].limits.maxMessageSize: ",
                id=f"size {text!r}",
            )
            for text in ("0", "1.5Mi", "1Mi\n", 5)
        ),
        *(
            pytest.param(
                ("rules", 0, "allowedOrigins"),
                [text],
                "spec.rules[0].allowedOrigins[0]: ",
                id=f"origin {text!r}",
            )
            for text in ("*", "example.com", "https://a/b", "https://a b", "https://a\n", "")
        ),
        *(
            pytest.param(
                ("rules", 0, "matches"),
                [{"headers": [{"name": name, "value": "x"}]}],
                "spec.rules[0].matches[0].headers[0].name: ",
                id=f"header {name!r}",
            )
            for name in ("", "a b", "a:b", "a\r\nb", "a\n", "é")
        ),
        pytest.param(
            ("rules", 0, "matches"),
            [{"method": "CONNECT"}],
            "spec.rules[0].matches[0].method: ",
            id="method CONNECT",
        ),
        pytest.param(
            ("rules", 0, "drain"),
            {"closeCode": 999},
            "spec.rules[0].drain.closeCode: ",
            id="a close code below 1000",
        ),
        pytest.param(
            ("rules", 0, "connection"),
            {"maxDurationJitter": 101},
            "spec.rules[0].connection.maxDurationJitter: ",
            id="more than all as jitter",
        ),
        pytest.param(
            ("rules", 0, "limits"),
            {"maxConnections": 0},
            "spec.rules[0].limits.maxConnections: ",
            id="no connections at all",
        ),
    ],
)
def test_what_the_types_refuse_is_named_with_its_field(
    path: tuple[str | int, ...], value: object, where: str
) -> None:
    manifest = route(8080)
    part: Any = manifest["spec"]
    for step in path[:-1]:
        part = part[step] if isinstance(step, int) else part.setdefault(step, {})
    part[path[-1]] = value
    with pytest.raises(InvalidRouteError) as refused:
        route_from_object(manifest)
    assert str(refused.value).startswith(where)


def test_a_table_of_an_unknown_version_is_refused_not_ignored() -> None:
    table = {"namespace": "shop", "routes": [], "ports": {}, "later": 1}
    with pytest.raises(msgspec.ValidationError, match="later"):
        msgspec.convert(table, Table)


def test_parts_cannot_be_changed_after_they_were_checked() -> None:
    found = route_from_object(route(8080))
    with pytest.raises(AttributeError, match="immutable"):
        found.name = "other"  # type: ignore[misc]
    assert isinstance(found, Route)
