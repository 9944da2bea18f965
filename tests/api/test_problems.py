"""Users' mistakes are values with a field path and a sentence; only a non-object raises."""

from __future__ import annotations

import datetime
from typing import Any

import msgspec
import pytest

from tests.support.sidecar import route, routes_of
from wsroute_api import contract
from wsroute_api.matching import compile_re2
from wsroute_api.problems import CLOSE_CODES, InvalidRouteError, problems, route_from_object
from wsroute_api.types import RouteSpec

RULE: dict[str, Any] = {"backend": {"port": 8080}}


def found(manifest: dict[str, Any]) -> list[str]:
    return [str(p) for p in problems(route_from_object(manifest).spec, compile_re2)]


def test_a_route_is_known_by_namespace_and_name() -> None:
    taken = route_from_object(route(8080, name="chat") | {"status": {"pods": {}}})
    assert (taken.key, taken.generation, taken.created) == ("default/chat", 1, "")


def test_metadata_that_others_write_is_passed_over() -> None:
    manifest = route(8080)
    manifest["metadata"] |= {
        "namespace": "shop",
        "generation": 7,
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "labels": {"team": "a"},
        "managedFields": [],
    }
    taken = route_from_object(manifest)
    assert (taken.key, taken.generation, taken.created) == ("shop/app", 7, "2026-01-01T00:00:00Z")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        pytest.param({"metadata": None}, "metadata: expected `object`", id="null metadata"),
        pytest.param({"metadata": {}}, "metadata: object missing required field `name`", id="none"),
        pytest.param({"metadata": ["app"]}, "metadata: expected `object`", id="metadata in a list"),
        pytest.param({"metadata": {"name": 7}}, "metadata.name: expected `str`", id="a number"),
        pytest.param(
            {"metadata": {"name": "a", "creationTimestamp": datetime.date(2026, 1, 1)}},
            "metadata.creationTimestamp: expected `str | null`",
            id="an unquoted time in YAML",
        ),
        pytest.param({"spec": None}, "spec: expected `object`", id="no spec"),
        pytest.param({"spec": []}, "spec: expected `object`", id="spec in a list"),
        pytest.param({"spec": {}}, "spec: object missing required field `selector`", id="empty"),
    ],
)
def test_an_object_that_is_no_route_is_refused_by_field(change: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidRouteError) as refused:
        route_from_object(route(8080) | change)
    assert str(refused.value).startswith(text)


def path(value: str, kind: str = "PathPrefix") -> dict[str, Any]:
    return RULE | {"matches": [{"path": {"type": kind, "value": value}}]}


def header(value: str, kind: str = "RegularExpression") -> dict[str, Any]:
    return RULE | {"matches": [{"headers": [{"type": kind, "name": "X-A", "value": value}]}]}


def changed(kind: str, field: str, **value: object) -> dict[str, Any]:
    return RULE | {"filters": [{"type": kind, field: value}]}


def request_headers(**value: object) -> dict[str, Any]:
    return changed("RequestHeaderModifier", "requestHeaderModifier", **value)


def rewritten(matches: list[dict[str, Any]] | None = None, **change: object) -> dict[str, Any]:
    rule = changed("URLRewrite", "urlRewrite", path=change)
    return rule | ({"matches": matches} if matches else {})


MISTAKES: list[tuple[str, dict[str, Any], str]] = [
    *(
        (f"the sidecar's own port {port}", {"backend": {"port": port}}, "backend.port: ")
        for port in sorted(contract.SIDECAR_PORTS)
    ),
    ("a path without its slash", path("ws"), "matches[0].path.value: 'ws' must start with /"),
    *(
        (f"a path that never matches: {value!r}", path(value, kind), "matches[0].path.value: ")
        for kind in ("PathPrefix", "Exact")
        for value in (
            "/a?b",
            "/a#b",
            "/a//b",
            "/a/../b",
            "/a/.",
            "/a\\b",
            "/a b",
            "/a\x00",
            "/a\nb",
            "/a%20b",
            "/a%2fb",
            "/caf\u00e9",
            "/a;v=1",
        )
    ),
    ("a path that is no RE2", path("/(a", "RegularExpression"), "matches[0].path.value: '/(a'"),
    (
        "a look-ahead, which RE2 has not",
        path("/(?=a)", "RegularExpression"),
        "matches[0].path.value: ",
    ),
    ("a header that is no RE2", header("["), "matches[0].headers[0].value: '['"),
    (
        "a parameter that is no RE2",
        RULE
        | {
            "matches": [{"queryParams": [{"type": "RegularExpression", "name": "v", "value": "*"}]}]
        },
        "matches[0].queryParams[0].value: '*'",
    ),
    (
        "a filter without its field",
        RULE | {"filters": [{"type": "URLRewrite"}]},
        "filters[0].urlRewrite: is missing",
    ),
    (
        "a filter with another's field",
        RULE | {"filters": [{"type": "URLRewrite", "urlRewrite": {}, "requestRedirect": {}}]},
        "filters[0].requestRedirect: does not belong to type URLRewrite",
    ),
    (
        "a filter twice",
        RULE | {"filters": [{"type": "URLRewrite", "urlRewrite": {"hostname": "a"}}] * 2},
        "filters: URLRewrite stands there 2 times",
    ),
    *(
        (
            f"a modifier of {name}",
            request_headers(set=[{"name": name, "value": "x"}]),
            "filters[0].requestHeaderModifier.set[0].name: ",
        )
        for name in (
            "Host",
            "connection",
            "Upgrade",
            "TE",
            "Transfer-Encoding",
            "content-length",
            "Sec-WebSocket-Key",
        )
    ),
    (
        "a reserved header added",
        request_headers(add=[{"name": "Host", "value": "x"}]),
        "filters[0].requestHeaderModifier.add[0].name: ",
    ),
    (
        "a reserved header removed",
        request_headers(remove=["Connection"]),
        "filters[0].requestHeaderModifier.remove[0]: ",
    ),
    *(
        (
            f"a header value with {value!r}",
            request_headers(set=[{"name": "X-A", "value": value}]),
            "filters[0].requestHeaderModifier.set[0].value: has a control character",
        )
        for value in ("a\r\nX-B: c", "a\n", "\x00", "\x7f")
    ),
    (
        "a replacement that is missing",
        rewritten(type="ReplaceFullPath"),
        "filters[0].urlRewrite.path.replaceFullPath: is missing",
    ),
    (
        "a replacement of the other type",
        rewritten(type="ReplaceFullPath", replaceFullPath="/a", replacePrefixMatch="/b"),
        "filters[0].urlRewrite.path.replacePrefixMatch: does not belong",
    ),
    *(
        (
            f"a replacement with {value!r}",
            rewritten(type="ReplaceFullPath", replaceFullPath=value),
            "filters[0].urlRewrite.path.replaceFullPath: ",
        )
        for value in ("/a b", "/a\r\nb", "/../a", "/a?b", "/caf\u00e9", "/a%2", "/a%00", "/%zz")
    ),
    (
        "a prefix replaced where an exact path matched",
        rewritten(
            [{"path": {"type": "Exact", "value": "/a"}}],
            type="ReplacePrefixMatch",
            replacePrefixMatch="/b",
        ),
        "filters[0].urlRewrite.path: ReplacePrefixMatch needs",
    ),
    *(
        (f"close code {code}", RULE | {"drain": {"closeCode": code}}, "drain.closeCode: ")
        for code in (1002, 1003, 1004, 1005, 1006, 1007, 1009, 1010, 1014, 1015, 1016, 2999)
    ),
    (
        "pings every zero seconds",
        RULE | {"keepalive": {"pingInterval": "0s"}},
        "keepalive.pingInterval: 0s",
    ),
]


@pytest.mark.parametrize(("name", "rule", "text"), MISTAKES, ids=[case[0] for case in MISTAKES])
def test_a_mistake_is_one_problem_with_its_field(
    name: str, rule: dict[str, Any], text: str
) -> None:
    assert name
    (only,) = found(routes_of([rule]))
    assert only.startswith(f"spec.rules[0].{text}")


@pytest.mark.parametrize(
    "rule",
    [
        pytest.param(path("/"), id="the root"),
        pytest.param(path("/a/"), id="a trailing slash"),
        pytest.param(path("/a.b-c_d~e/f:g@h"), id="all plain characters"),
        pytest.param(path(r"/ws/[0-9]+(\.js)?", "RegularExpression"), id="an expression"),
        pytest.param(header("[", kind="Exact"), id="an exact value that looks like an expression"),
        pytest.param(
            rewritten(type="ReplaceFullPath", replaceFullPath="/caf%C3%A9"), id="an encoded path"
        ),
        pytest.param(
            rewritten(type="ReplacePrefixMatch", replacePrefixMatch="/"), id="a prefix by default"
        ),
        pytest.param(request_headers(set=[{"name": "Cookie", "value": "a=b"}]), id="a cookie"),
        *(
            pytest.param(RULE | {"drain": {"closeCode": code}}, id=f"close code {code}")
            for code in (*sorted(CLOSE_CODES), 3000, 4999)
        ),
    ],
)
def test_what_is_right_has_no_problem(rule: dict[str, Any]) -> None:
    assert found(routes_of([rule])) == []


@pytest.mark.parametrize(
    ("selector", "text"),
    [
        pytest.param({}, "spec.selector: is empty", id="an empty selector"),
        pytest.param(
            {"matchExpressions": [{"key": "a", "operator": "In"}]},
            "spec.selector.matchExpressions[0].values: In needs at least one",
            id="In without values",
        ),
        pytest.param(
            {"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["b"]}]},
            "spec.selector.matchExpressions[0].values: Exists needs none",
            id="Exists with values",
        ),
    ],
)
def test_a_selector_that_selects_by_accident_is_a_problem(
    selector: dict[str, Any], text: str
) -> None:
    spec = msgspec.convert({"selector": selector, "rules": [RULE]}, RouteSpec)
    (only,) = problems(spec, compile_re2)
    assert str(only).startswith(text)


def test_every_use_of_a_name_that_is_used_twice_is_a_problem() -> None:
    rules = [RULE | {"name": "a"}, RULE, RULE, RULE | {"name": "a"}]
    assert [text.partition(":")[0] for text in found(routes_of(rules))] == [
        "spec.rules[0].name",
        "spec.rules[3].name",
    ]


def test_all_problems_of_a_route_are_told_at_once() -> None:
    rules = [path("a"), {"backend": {"port": contract.DATA_PORT}, "drain": {"closeCode": 1006}}]
    assert [text.partition(":")[0] for text in found(routes_of(rules))] == [
        "spec.rules[0].matches[0].path.value",
        "spec.rules[1].backend.port",
        "spec.rules[1].drain.closeCode",
    ]
