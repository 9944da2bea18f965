"""A rule in, numbers out; and what a policy says of origins, targets and redirects."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.support.sidecar import route, routes_of
from wsroute_api.matching import Candidate, Facts, Matcher
from wsroute_api.problems import route_from_object
from wsroute_sidecar.policy import (
    Policy,
    compile_rule,
    draw_limits,
    location,
    new_target,
    origin_allowed,
)
from wsroute_sidecar.relay_types import Limits
from wsroute_sidecar.requests import Checked, Head, check


def policy(port: int | str = 8080, **rule: Any) -> Policy:
    return compile_rule(route_from_object(route(port, **rule)), 0, {"http": 8081})


def head(target: str = "/", host: str = "a.example") -> Head:
    found = check("GET", target, (1, 1), [(b"Host", host.encode())])
    assert isinstance(found, Checked)
    return found


def candidate(path: dict[str, str]) -> Candidate:
    matches = [{"path": path}]
    table = Matcher([route_from_object(route(8080, matches=matches))])
    found = table.find(Facts("", path["value"]))
    assert isinstance(found, Candidate)
    return found


SETTINGS: list[tuple[str, dict[str, Any], dict[str, object]]] = [
    (
        "the defaults",
        {},
        {
            "upgrade": "Optional",
            "handshake": 10.0,
            "request": 60.0,
            "limits": Limits(idle=3600.0),
            "jitter": 0.0,
            "drain": 30.0,
            "close_code": 1001,
            "on_route_change": "Keep",
            "max_connections": None,
            "max_per_client": None,
            "handshake_rate": None,
            "origins": (),
            "redirect": None,
            "rewrite_host": None,
            "rewrite_path": None,
        },
    ),
    (
        "0s disables what has a default",
        {
            "timeouts": {"handshake": "0s", "request": "0s"},
            "connection": {"idleTimeout": "0s", "maxDuration": "0s"},
        },
        {"handshake": None, "request": None, "limits": Limits()},
    ),
    (
        "idleness of data alone",
        {"connection": {"idleCounts": "DataFrames"}},
        {"limits": Limits(idle=3600.0, idle_data_only=True)},
    ),
    ("a drain of 0s is at once", {"drain": {"timeout": "0s"}}, {"drain": 0.0}),
    (
        "values in seconds and bytes",
        {
            "timeouts": {"handshake": "500ms"},
            "connection": {"maxDuration": "8h", "maxDurationJitter": 10},
            "limits": {"maxMessageSize": "16Mi"},
        },
        {
            "handshake": 0.5,
            "limits": Limits(idle=3600.0, max_age=28800.0, max_message=16 << 20),
            "jitter": 0.1,
        },
    ),
    (
        "a pong in 10 s by default",
        {"keepalive": {"pingInterval": "30s"}},
        {"limits": Limits(idle=3600.0, ping_interval=30.0, pong_timeout=10.0)},
    ),
    (
        "pings that only measure",
        {"keepalive": {"pingInterval": "30s", "pongTimeout": "0s"}},
        {"limits": Limits(idle=3600.0, ping_interval=30.0)},
    ),
]


@pytest.mark.parametrize(("name", "rule", "expected"), SETTINGS, ids=[case[0] for case in SETTINGS])
def test_settings_become_numbers(
    name: str, rule: dict[str, Any], expected: dict[str, object]
) -> None:
    compiled = policy(**rule)
    assert {key: getattr(compiled, key) for key in expected} == expected, name


JITTER = {"maxDuration": "100s", "maxDurationJitter": 10}


@pytest.mark.parametrize(
    ("connection", "chance", "age"),
    [
        pytest.param(JITTER, 0.0, 100.0, id="none drawn"),
        pytest.param(JITTER, 0.5, 105.0, id="half of it"),
        pytest.param(JITTER, 1.0, 110.0, id="all of it"),
        pytest.param({"maxDuration": "100s"}, 1.0, 100.0, id="no jitter"),
        pytest.param({"maxDurationJitter": 10}, 1.0, None, id="no maximum"),
    ],
)
def test_jitter_is_added_to_the_maximum_duration(
    connection: dict[str, Any], chance: float, age: float | None
) -> None:
    drawn = draw_limits(policy(connection=connection), chance).max_age
    assert drawn == (None if age is None else pytest.approx(age))


def test_a_named_port_is_the_pods() -> None:
    assert policy("http").port == 8081


def test_a_port_that_the_pod_has_not_is_an_error_that_names_those_it_has() -> None:
    with pytest.raises(
        ValueError, match=r"rules\[0\].backend.port: no port 'ws' here; known: http"
    ):
        policy("ws")


def test_a_rule_is_known_by_its_name_or_its_place() -> None:
    rules: list[dict[str, Any]] = [{"backend": {"port": 1}}, {"name": "b", "backend": {"port": 1}}]
    found = route_from_object(routes_of(rules))
    assert [compile_rule(found, index, {}).rule for index in (0, 1)] == ["0", "b"]


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        pytest.param({}, {}, True, id="the same"),
        pytest.param({}, {"timeouts": {"handshake": "5s"}}, False, id="another setting"),
        pytest.param({}, {"upgrade": "Optional"}, True, id="a default spelled out"),
    ],
)
def test_a_fingerprint_tells_whether_a_rule_has_changed(
    one: dict[str, Any], other: dict[str, Any], equal: bool
) -> None:
    assert (policy(**one).fingerprint == policy(**other).fingerprint) is equal


def test_a_fingerprint_does_not_depend_on_generation_or_age() -> None:
    one = route_from_object(route(8080))
    other = msgspec.structs.replace(one, generation=9, created="2026-01-01T00:00:00Z")
    assert compile_rule(one, 0, {}).fingerprint == compile_rule(other, 0, {}).fingerprint


@pytest.mark.parametrize(
    ("allowed", "origin", "admitted"),
    [
        ([], "https://evil.example", True),
        ([], None, True),
        (["https://a.example"], "https://a.example", True),
        (["https://a.example"], "HTTPS://A.EXAMPLE", True),
        (["https://a.example"], "http://a.example", False),
        (["https://a.example"], "https://a.example:8443", False),
        (["https://a.example:8443"], "https://a.example:8443", True),
        (["https://a.example"], "https://b.a.example", False),
        (["https://a.example"], "https://a.example.evil", False),
        (["https://a.example"], "https://a.example\n", False),
        (["https://a.example"], "https://aXexample", False),
        (["https://a.example"], "", False),
        (["https://a.example"], None, False),
        (["https://*.a.example"], "https://b.a.example", True),
        (["https://*.a.example"], "https://c.b.a.example", True),
        (["https://*.a.example"], "https://a.example", False),
        (["https://*.a.example"], "https://evil/.a.example", False),
        (["https://*.a.example"], "https://evil@b.a.example", False),
        (["https://*.a.example"], "https://evil?.a.example", False),
        (["https://*.a.example"], "https://evil#.a.example", False),
        (["https://*.a.example"], "https://evil:80.a.example", False),
        (["https://*.a.example"], "https://evil\\.a.example", False),
        (["https://*.a.example"], "https://.a.example", False),
        (["null"], "null", True),
        (["null"], None, True),
        (["null"], "https://a.example", False),
        (["https://a.example", "null"], "https://a.example", True),
    ],
)
def test_origins(allowed: list[str], origin: str | None, admitted: bool) -> None:
    assert origin_allowed(policy(allowedOrigins=allowed), origin) is admitted


PREFIX = {"type": "PathPrefix", "value": "/ws"}
REGEX = {"type": "RegularExpression", "value": "/ws"}


@pytest.mark.parametrize(
    ("path", "change", "target", "expected"),
    [
        (PREFIX, None, "/ws/a%20b?x", "/ws/a%20b?x"),
        (PREFIX, {"replacePrefixMatch": "/"}, "/ws/a", "/a"),
        (PREFIX, {"replacePrefixMatch": "/"}, "/ws", "/"),
        (PREFIX, {"replacePrefixMatch": "/"}, "/ws/", "/"),
        (PREFIX, {"replacePrefixMatch": "/"}, "/ws?a=b", "/?a=b"),
        (PREFIX, {"replacePrefixMatch": "/v2"}, "/ws", "/v2"),
        (PREFIX, {"replacePrefixMatch": "/v2/"}, "/ws/a?b", "/v2/a?b"),
        (PREFIX, {"replacePrefixMatch": "/v2"}, "/ws/a?", "/v2/a?"),
        (PREFIX | {"value": "/ws/"}, {"replacePrefixMatch": "/v2"}, "/ws/a", "/v2/a"),
        (PREFIX | {"value": "/"}, {"replacePrefixMatch": "/v2"}, "/a", "/v2/a"),
        (PREFIX | {"value": "/"}, {"replacePrefixMatch": "/v2"}, "/", "/v2/"),
        (REGEX, {"replaceFullPath": "/new"}, "/ws?a", "/new?a"),
        (REGEX, {"replaceFullPath": "/"}, "/ws", "/"),
    ],
)
def test_rewrites_change_the_path_and_keep_the_query(
    path: dict[str, str], change: dict[str, str] | None, target: str, expected: str
) -> None:
    compiled = policy()
    if change is not None:
        (name,) = change
        kind = {"type": name[0].upper() + name[1:]}
        compiled = policy(filters=[{"type": "URLRewrite", "urlRewrite": {"path": kind | change}}])
    assert new_target(candidate(path), compiled.rewrite_path, head(target)) == expected


@pytest.mark.parametrize(
    ("redirect", "host", "scheme", "expected"),
    [
        pytest.param({}, "a.example", "http", "http://a.example/ws?x", id="the same"),
        pytest.param({}, "a.example:8080", "http", "http://a.example:8080/ws?x", id="its port"),
        pytest.param({}, "a.example:80", "http", "http://a.example/ws?x", id="the default port"),
        pytest.param({}, "[::1]:8080", "http", "http://[::1]:8080/ws?x", id="IPv6 with a port"),
        pytest.param({}, "[::1]", "http", "http://[::1]/ws?x", id="IPv6"),
        pytest.param(
            {"scheme": "https"},
            "a.example:8080",
            "http",
            "https://a.example/ws?x",
            id="another scheme has its own port",
        ),
        pytest.param(
            {"port": 8443, "scheme": "https"},
            "a.example",
            "http",
            "https://a.example:8443/ws?x",
            id="scheme and port",
        ),
        pytest.param(
            {"hostname": "b.example"}, "a.example", "https", "https://b.example/ws?x", id="a host"
        ),
        pytest.param(
            {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/v2"}},
            "a.example",
            "http",
            "http://a.example/v2?x",
            id="a path",
        ),
        pytest.param(
            {"path": {"type": "ReplaceFullPath", "replaceFullPath": "/"}},
            "a.example",
            "http",
            "http://a.example/?x",
            id="the whole path",
        ),
    ],
)
def test_redirects(redirect: dict[str, Any], host: str, scheme: str, expected: str) -> None:
    compiled = policy(filters=[{"type": "RequestRedirect", "requestRedirect": redirect}])
    assert compiled.redirect is not None
    found = location(candidate(PREFIX), compiled.redirect, head("/ws?x", host), scheme)
    assert found == expected
