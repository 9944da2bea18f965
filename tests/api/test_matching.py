"""Routes in, requests in, and which match each belongs to."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.sidecar import route, routes_of
from wsroute_api.matching import (
    Ambiguous,
    Candidate,
    Facts,
    Matcher,
    compile_re2,
    conflicts,
    liberal_reading,
)
from wsroute_api.problems import route_from_object
from wsroute_api.types import Route

Spec = dict[str, Any]


def match(path: str = "/", kind: str = "PathPrefix", **more: object) -> Spec:
    return {"path": {"type": kind, "value": path}, **more}


def made(name: str, *matches: Spec, hosts: tuple[str, ...] = (), age: str = "") -> Route:
    manifest = route(8080, name=name, hostnames=hosts, matches=list(matches))
    manifest["metadata"]["creationTimestamp"] = age
    return route_from_object(manifest)


def winner(routes: list[Route], **facts: Any) -> str | None:
    found = Matcher(routes).find(Facts(**{"host": "a.example", "path": "/"} | facts))
    assert not isinstance(found, Ambiguous)
    return found.route.name if isinstance(found, Candidate) else None


GET: Spec = {"method": "GET"}
TIER: Spec = {"name": "X-Tier", "value": "gold"}
ONE_HEADER: Spec = {"headers": [TIER]}
TWO_HEADERS: Spec = {"headers": [TIER, {"name": "X-Age", "value": "1"}]}
ONE_PARAM: Spec = {"queryParams": [{"name": "v", "value": "2"}]}
TWO_PARAMS: Spec = {"queryParams": [{"name": "v", "value": "2"}, {"name": "w", "value": "3"}]}
PROTOCOL: Spec = {"subprotocols": ["chat.v2"]}
ALL: Spec = {
    "path": "/ws/a",
    "headers": {"X-Tier": "gold", "X-Age": "1"},
    "query": "v=2&w=3",
    "subprotocols": ("chat.v2",),
}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(
            made("b", hosts=("a.example",)),
            made("a", match("/ws/a", "Exact"), hosts=("*.example",)),
            id="an exact host before a wildcard, whatever the path",
        ),
        pytest.param(
            made("b", hosts=("*.example",)),
            made("a", match("/ws/a", "Exact")),
            id="a wildcard host before none",
        ),
        pytest.param(
            made("b", match("/ws/a", "Exact")),
            made("a", match("/ws/.*", "RegularExpression", **TWO_HEADERS)),
            id="an exact path before an expression",
        ),
        pytest.param(
            made("b", match("/w.*", "RegularExpression")),
            made("a", match("/ws/a")),
            id="an expression before a prefix",
        ),
        pytest.param(
            made("b", match("/ws/[a-z]", "RegularExpression")),
            made("a", match("/ws/.", "RegularExpression", **TWO_HEADERS)),
            id="a longer expression before a shorter one",
        ),
        pytest.param(
            made("b", match("/ws/a")),
            made("a", match("/ws", **GET, **TWO_HEADERS)),
            id="a longer prefix before a method and headers",
        ),
        pytest.param(
            made("b", match("/ws", **GET)),
            made("a", match("/ws", **TWO_HEADERS)),
            id="a method before headers",
        ),
        pytest.param(
            made("b", match("/ws", **TWO_HEADERS)),
            made("a", match("/ws", **ONE_HEADER, **TWO_PARAMS)),
            id="more headers before more parameters",
        ),
        pytest.param(
            made("b", match("/ws", **TWO_PARAMS)),
            made("a", match("/ws", **ONE_PARAM, **PROTOCOL)),
            id="more parameters before a subprotocol",
        ),
        pytest.param(
            made("b", match("/ws", **PROTOCOL), age="2026-01-02T00:00:00Z"),
            made("a", match("/ws"), age="2026-01-01T00:00:00Z"),
            id="a subprotocol before age",
        ),
        pytest.param(
            made("b", match("/ws"), age="2026-01-01T00:00:00Z"),
            made("a", match("/ws"), age="2026-01-02T00:00:00Z"),
            id="the older before the newer",
        ),
        pytest.param(
            made("a", match("/ws"), age="2026-01-01T00:00:00Z"),
            made("b", match("/ws"), age="2026-01-01T00:00:00Z"),
            id="at the same age, by name",
        ),
    ],
)
def test_the_first_difference_decides_in_any_order_of_routes(first: Route, second: Route) -> None:
    assert winner([first, second], **ALL) == first.name
    assert winner([second, first], **ALL) == first.name
    assert winner([second], **ALL) == second.name


def test_of_equal_matches_in_one_route_the_earlier_rule_wins() -> None:
    rules = [{"backend": {"port": 1}}, {"backend": {"port": 2}}]
    found = Matcher([route_from_object(routes_of(rules))]).find(Facts("", "/"))
    assert isinstance(found, Candidate)
    assert (found.rule_index, found.where) == (0, "spec.rules[0].matches[0]")


def test_of_two_wildcards_the_longer_wins() -> None:
    routes = [made("a", hosts=("*.example",)), made("b", hosts=("*.x.example",))]
    assert winner(routes, host="y.x.example") == "b"
    assert winner(routes, host="x.example") == "a"


def test_a_less_specific_host_serves_what_the_more_specific_one_has_no_match_for() -> None:
    routes = [made("a", match("/only"), hosts=("a.example",)), made("b", hosts=("*.example",))]
    assert winner(routes, path="/other") == "b"


@pytest.mark.parametrize(
    ("hosts", "host", "matches"),
    [
        ((), "anything", True),
        ((), "", True),
        (("a.example",), "a.example", True),
        (("a.example",), "b.a.example", False),
        (("a.example",), "xa.example", False),
        (("a.example",), "", False),
        (("*.example",), "a.example", True),
        (("*.example",), "b.a.example", True),
        (("*.example",), "example", False),
        (("*.example",), ".example", False),
        (("*.example",), "aexample", False),
        (("b.example", "a.example"), "a.example", True),
    ],
)
def test_hostnames_match_whole_labels(hosts: tuple[str, ...], host: str, matches: bool) -> None:
    assert (winner([made("a", hosts=hosts)], host=host) == "a") is matches


@pytest.mark.parametrize(
    ("kind", "value", "path", "matches"),
    [
        ("PathPrefix", "/", "/", True),
        ("PathPrefix", "/", "/a/b", True),
        ("PathPrefix", "/ws", "/ws", True),
        ("PathPrefix", "/ws", "/ws/", True),
        ("PathPrefix", "/ws", "/ws/a", True),
        ("PathPrefix", "/ws", "/wsx", False),
        ("PathPrefix", "/ws", "/WS", False),
        ("PathPrefix", "/ws", "/a/ws", False),
        ("PathPrefix", "/ws/", "/ws", True),
        ("PathPrefix", "/ws/", "/ws/a", True),
        ("Exact", "/ws", "/ws", True),
        ("Exact", "/ws", "/ws/", False),
        ("Exact", "/ws/", "/ws", False),
        ("Exact", "/ws", "/ws/a", False),
        ("RegularExpression", "/ws/[0-9]+", "/ws/12", True),
        ("RegularExpression", "/ws/[0-9]+", "/ws/12/a", False),
        ("RegularExpression", "/ws", "/a/ws", False),
    ],
)
def test_paths_match_whole_elements(kind: str, value: str, path: str, matches: bool) -> None:
    assert (winner([made("a", match(value, kind))], path=path) == "a") is matches


@pytest.mark.parametrize(
    ("tests", "facts", "matches"),
    [
        pytest.param(GET, {"method": "GET"}, True, id="the method"),
        pytest.param(GET, {"method": "HEAD"}, False, id="another method"),
        pytest.param(GET, {"method": "get"}, False, id="a method in small letters"),
        pytest.param(ONE_HEADER, {"headers": {"X-Tier": "gold"}}, True, id="the header"),
        pytest.param(ONE_HEADER, {"headers": {"X-Tier": "golden"}}, False, id="a longer value"),
        pytest.param(ONE_HEADER, {}, False, id="no header"),
        pytest.param(TWO_HEADERS, {"headers": {"X-Tier": "gold"}}, False, id="one header of two"),
        pytest.param(
            {"headers": [{"type": "RegularExpression", "name": "X", "value": "a|b"}]},
            {"headers": {"X": "ab"}},
            False,
            id="an expression is for the whole value",
        ),
        pytest.param(ONE_PARAM, {"query": "v=2"}, True, id="the parameter"),
        pytest.param(ONE_PARAM, {"query": "a=1&v=2"}, True, id="the parameter among others"),
        pytest.param(ONE_PARAM, {"query": "%76=%32"}, True, id="the parameter encoded"),
        pytest.param(ONE_PARAM, {"query": "v=2&v=3"}, True, id="the first of two values"),
        pytest.param(ONE_PARAM, {"query": "v=3&v=2"}, False, id="the second of two values"),
        pytest.param(ONE_PARAM, {"query": "V=2"}, False, id="a name in capitals"),
        pytest.param(ONE_PARAM, {"query": "v"}, False, id="a parameter without value"),
        pytest.param(ONE_PARAM, {"query": "v=&v=2"}, False, id="an empty first value"),
        pytest.param(ONE_PARAM, {"query": ""}, False, id="no query"),
        pytest.param(PROTOCOL, {"subprotocols": ("a", "chat.v2")}, True, id="one of the offers"),
        pytest.param(PROTOCOL, {"subprotocols": ("Chat.v2",)}, False, id="another spelling"),
        pytest.param(PROTOCOL, {}, False, id="no offer"),
    ],
)
def test_all_fields_of_a_match_must_hold(tests: Spec, facts: Spec, matches: bool) -> None:
    assert (winner([made("a", match(**tests))], **facts) == "a") is matches


def test_any_match_of_a_rule_is_enough() -> None:
    one = made("a", match("/x"), match("/y"))
    assert [winner([one], path=path) for path in ("/x", "/y", "/z")] == ["a", "a", None]


ADMIN = [made("admin", match("/admin")), made("open", match("/"))]


@pytest.mark.parametrize(
    "path",
    [
        "/%61dmin",
        "/%2fadmin",
        "//admin",
        "/./admin",
        "/x/../admin",
        "/x/%2e%2e/admin",
        "/x/..%2fadmin",
        "/x/..;/admin",
        "/x/..;a=b/admin",
        "/admin;a=b",
        "/admin;a=b/x",
        "/admin%3Ba/x",
        "/;/admin",
        "/\\admin",
        "/x\\..\\admin",
        "/%5cadmin",
        "/admin/../x",
        "/admin/%2e%2e",
        "/admin%2fx",
        "/admin/..",
        "/%2E/admin",
        "/admin%2F",
    ],
)
def test_a_path_whose_readings_belong_to_different_routes_is_ambiguous(path: str) -> None:
    assert isinstance(Matcher(ADMIN).find(Facts("", path)), Ambiguous)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/admin/%61", "admin"),
        ("/admin//a", "admin"),
        ("/admin/./a", "admin"),
        ("/admin/a/../b", "admin"),
        ("/caf%C3%A9", "open"),
        ("/a%20b", "open"),
        ("/a;v=1", "open"),
        ("/...", "open"),
        ("/.well-known/x", "open"),
        ("/%ff", "open"),
        ("/%2561dmin", "open"),
    ],
)
def test_a_path_whose_readings_agree_is_served(path: str, name: str) -> None:
    assert winner(ADMIN, path=path) == name


def test_a_reading_that_no_route_has_is_ambiguous_too() -> None:
    assert isinstance(Matcher(ADMIN[:1]).find(Facts("", "/admin/../x")), Ambiguous)
    assert isinstance(Matcher(ADMIN[:1]).find(Facts("", "/x/../admin")), Ambiguous)


@given(st.text("/.;%\\2ef5cab", max_size=24).map("/".__add__))
def test_a_liberal_reading_is_a_plain_path_without_dots_or_doubled_slashes(path: str) -> None:
    reading = liberal_reading(path)
    assert reading.startswith("/")
    assert "//" not in reading
    assert "\\" not in reading
    assert not {".", ".."} & set(reading.split("/"))


def test_an_expression_cannot_be_made_slow() -> None:
    slow = compile_re2("(a*)*b")
    assert not slow.fullmatch("a" * 100_000)


def test_a_bad_expression_is_a_value_error_that_says_why() -> None:
    with pytest.raises(ValueError, match="missing"):
        compile_re2("(")


TIED = match("/ws", **GET, headers=[TIER, {"name": "X-B", "value": "1"}])
SWAPPED = match("/ws/", **GET, headers=[{"name": "x-b", "value": "1"}, TIER])


@pytest.mark.parametrize(
    ("one", "two", "tied"),
    [
        pytest.param(match("/ws"), match("/ws"), True, id="the same"),
        pytest.param(TIED, SWAPPED, True, id="the same in other words"),
        pytest.param(match("/ws"), match("/ws", "Exact"), False, id="another kind of path"),
        pytest.param(match("/ws"), match("/ws", **GET), False, id="one with a method"),
        pytest.param(
            match("/ws", **ONE_PARAM), match("/ws", **TWO_PARAMS), False, id="a parameter"
        ),
        pytest.param(match("/ws", **PROTOCOL), match("/ws"), False, id="one with a subprotocol"),
    ],
)
def test_an_exact_tie_is_a_conflict_that_the_newer_route_loses(
    one: Spec, two: Spec, tied: bool
) -> None:
    old = made("z", one, age="2026-01-01T00:00:00Z")
    new = made("a", two, age="2026-01-02T00:00:00Z")
    for order in ([old, new], [new, old]):
        found = [(c.winner.name, c.loser.name, c.where) for c in conflicts(order)]
        assert found == ([("z", "a", "spec.rules[0].matches[0]")] if tied else [])


def test_routes_of_different_hosts_are_never_tied() -> None:
    assert conflicts([made("a", hosts=("a.example",)), made("b", hosts=("*.example",))]) == []


def test_a_conflict_is_told_for_each_host_that_is_shared() -> None:
    hosts = ("a.example", "b.example")
    found = conflicts([made("a", hosts=hosts), made("b", hosts=(*hosts, "c.example"))])
    assert [(c.winner.name, c.loser.name) for c in found] == [("a", "b"), ("a", "b")]


def test_an_empty_table_matches_nothing() -> None:
    assert Matcher([]).find(Facts("a", "/")) is None
