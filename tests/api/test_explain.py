"""Routes and a request in, and in words why each match is or is not the one."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.sidecar import route
from wsroute_api.explain import explain, title
from wsroute_api.matching import Ambiguous, Candidate, Facts
from wsroute_api.problems import route_from_object
from wsroute_api.types import Route

Spec = dict[str, Any]


def made(name: str, *matches: Spec, hosts: tuple[str, ...] = (), age: str = "") -> Route:
    manifest = route(8080, name=name, hostnames=hosts, matches=list(matches))
    manifest["metadata"]["creationTimestamp"] = age
    return route_from_object(manifest)


def path(value: str, kind: str = "PathPrefix", **more: object) -> Spec:
    return {"path": {"type": kind, "value": value}, **more}


def header(value: str, kind: str = "Exact") -> Spec:
    return {"headers": [{"type": kind, "name": "X-Tier", "value": value}]}


def why_not(routes: list[Route], name: str, **facts: Any) -> list[str]:
    request = Facts(**{"host": "a.example", "path": "/ws"} | facts)
    readings = explain(routes, request).readings
    return [words for r in readings if r.candidate.route.name == name for words in r.obstacles]


@pytest.mark.parametrize(
    ("one", "facts", "words"),
    [
        pytest.param(
            made("one", hosts=("b.example", "*.c.example")),
            {},
            ["host: a.example is not b.example or *.c.example"],
            id="host",
        ),
        pytest.param(made("one", path("/x")), {}, ["path: /ws is not at or below /x"], id="prefix"),
        pytest.param(
            made("one", path("/x", "Exact")), {}, ["path: /ws is not /x"], id="exact path"
        ),
        pytest.param(
            made("one", path("/x[0-9]+", "RegularExpression")),
            {},
            ["path: /ws does not match /x[0-9]+"],
            id="expression",
        ),
        pytest.param(made("one", {"method": "POST"}), {}, ["method: GET is not POST"], id="method"),
        pytest.param(made("one", header("gold")), {}, ["header X-Tier: missing"], id="no header"),
        pytest.param(
            made("one", header("gold")),
            {"headers": {"X-Tier": "tin"}},
            ["header X-Tier: 'tin' is not 'gold'"],
            id="header",
        ),
        pytest.param(
            made("one", header("g.*", "RegularExpression")),
            {"headers": {"X-Tier": "tin"}},
            ["header X-Tier: 'tin' does not match 'g.*'"],
            id="header by expression",
        ),
        pytest.param(
            made("one", {"queryParams": [{"name": "v", "value": "2"}]}),
            {"query": "v=1"},
            ["query v: 'v=1' is not '2'"],
            id="query",
        ),
        pytest.param(
            made("one", {"subprotocols": ["chat.v2", "chat.v3"]}),
            {"subprotocols": ("chat.v1",)},
            ["subprotocol: chat.v1 offered, not chat.v2 or chat.v3"],
            id="subprotocol",
        ),
        pytest.param(
            made("one", path("/x", method="POST")),
            {},
            ["path: /ws is not at or below /x", "method: GET is not POST"],
            id="all that is wrong",
        ),
    ],
)
def test_a_match_that_does_not_admit_the_request_says_each_part_that_does_not(
    one: Route, facts: dict[str, Any], words: list[str]
) -> None:
    assert why_not([one, made("all")], "one", **facts) == words


@pytest.mark.parametrize(
    ("better", "worse", "why"),
    [
        (made("a", hosts=("a.example",)), made("b", hosts=("*.example",)), "specific hostname"),
        (made("a", path("/ws", "Exact")), made("b", path("/ws")), "has an Exact path"),
        (made("a", path("/ws")), made("b", path("/")), "more specific path"),
        (made("a", path("/w.", "RegularExpression")), made("b", path("/ws")), "specific path"),
        (
            made("a", path("/w[st]", "RegularExpression")),
            made("b", path("/w.", "RegularExpression")),
            "longer expression",
        ),
        (made("b", {"method": "GET"}), made("a"), "asks for a method"),
        (made("b", header("gold")), made("a"), "asks for more headers"),
        (
            made("b", {"queryParams": [{"name": "v", "value": "2"}]}),
            made("a"),
            "asks for more query parameters",
        ),
        (made("b", {"subprotocols": ["chat.v2"]}), made("a"), "asks for subprotocols"),
        (
            made("b", age="2026-01-01T00:00:00Z"),
            made("a", age="2026-01-02T00:00:00Z"),
            "older route",
        ),
        (made("a"), made("b"), "has the name that sorts first"),
    ],
)
def test_a_match_that_loses_names_the_better_one_and_what_is_better_in_it(
    better: Route, worse: Route, why: str
) -> None:
    request = {"headers": {"X-Tier": "gold"}, "query": "v=2", "subprotocols": ("chat.v2",)}
    (words,) = why_not([worse, better], worse.name, **request)

    assert words.startswith(f"better match: default/{better.name} spec.rules[0].matches[0] ")
    assert words.endswith(why)
    assert why_not([worse, better], better.name, **request) == []


def test_within_a_route_the_first_of_two_equal_matches_is_the_better() -> None:
    (words,) = why_not([made("a", path("/ws"), path("/ws"))], "a")

    assert words == "better match: default/a spec.rules[0].matches[0] stands first in its rule"


def test_a_path_of_two_readings_belongs_to_no_match() -> None:
    explained = explain([made("a", path("/ws")), made("b")], Facts("h", "/ws/%2e%2e/admin"))

    assert isinstance(explained.found, Ambiguous)
    assert all(reading.obstacles for reading in explained.readings)


_MATCHES = st.sampled_from(
    [path("/ws"), path("/ws", "Exact"), path("/a"), {"method": "POST"}, header("gold"), {}]
)
_ROUTES = st.lists(
    st.tuples(st.lists(_MATCHES, max_size=3), st.sampled_from([(), ("a.example",), ("*.b",)])),
    max_size=4,
)
_PATHS = st.sampled_from(["/ws", "/ws/a", "/", "/a/%2e%2e/ws", "/ws;x", "//ws"])


@given(_ROUTES, _PATHS, st.sampled_from(["a.example", "x.b", "b"]))
def test_exactly_the_match_that_is_found_has_nothing_in_its_way(
    routes: list[tuple[list[Spec], tuple[str, ...]]], at: str, host: str
) -> None:
    table = [made(f"r{i}", *matches, hosts=hosts) for i, (matches, hosts) in enumerate(routes)]
    explained = explain(table, Facts(host, at, headers={"X-Tier": "gold"}))

    free = [title(r.candidate) for r in explained.readings if not r.obstacles]
    found = explained.found
    assert free == ([title(found)] if isinstance(found, Candidate) else [])
