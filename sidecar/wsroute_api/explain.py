"""Why a request belongs to one match, and not to the others.

Nothing is decided here: each part of a match is put into a table of its own, and the Matcher is
asked about it. So an explanation cannot differ from what a sidecar does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from wsroute_api.matching import Ambiguous, Candidate, Facts, Matcher, candidates
from wsroute_api.types import (
    Backend,
    HeaderMatch,
    LabelSelector,
    QueryParamMatch,
    Route,
    RouteMatch,
    RouteSpec,
    Rule,
)


class Reading(msgspec.Struct, frozen=True):
    """What one match makes of the request."""

    candidate: Candidate
    obstacles: Sequence[str] = ()
    """Why it is not the one, in words; empty for the one that is."""


class Explanation(msgspec.Struct, frozen=True):
    """The Matcher's answer, and the reading of every match, in the order of the routes."""

    found: Candidate | Ambiguous | None
    readings: Sequence[Reading]


def explain(routes: Sequence[Route], facts: Facts) -> Explanation:
    """How `facts` fare with `routes`, which must be free of problems."""
    found = Matcher(routes).find(facts)
    each = [candidate for route in routes for candidate in candidates(route)]
    return Explanation(found, [Reading(c, _why_not(c, found, facts)) for c in each])


def title(candidate: Candidate) -> str:
    """The match as people name it: its route, its rule's name, its field path."""
    rule = f" {candidate.rule.name}" if candidate.rule.name else ""
    return f"{candidate.route.key}{rule} {candidate.where}"


def _why_not(
    candidate: Candidate, found: Candidate | Ambiguous | None, facts: Facts
) -> tuple[str, ...]:
    if isinstance(found, Candidate) and _place(found) == _place(candidate):
        return ()
    if obstacles := tuple(_obstacles(candidate, facts)):
        return obstacles
    if isinstance(found, Candidate):
        return (f"better match: {title(found)} {_precedence(found, candidate, facts)}",)
    return ("path: it can also be read as one that belongs to another match",)


def _place(candidate: Candidate) -> tuple[str, str]:
    return candidate.route.key, candidate.where


_PATHS: Final = {
    "Exact": "is not",
    "PathPrefix": "is not at or below",
    "RegularExpression": "does not match",
}


def _obstacles(candidate: Candidate, facts: Facts) -> Iterator[str]:
    """Each part of the match that does not admit the request."""
    match, hostnames = candidate.match, candidate.route.spec.hostnames
    if not _admits(RouteMatch(), facts, hostnames):
        yield f"host: {facts.host} is not {_or(hostnames)}"
    if not _admits(RouteMatch(path=match.path), facts):
        yield f"path: {facts.path} {_PATHS[match.path.type]} {match.path.value}"
    if not _admits(RouteMatch(method=match.method), facts):
        yield f"method: {facts.method} is not {match.method}"
    for header in match.headers:
        if not _admits(RouteMatch(headers=[header]), facts):
            sent = facts.headers.get(header.name)
            yield f"header {header.name}: {_differs(sent, header)}"
    for param in match.query_params:
        if not _admits(RouteMatch(query_params=[param]), facts):
            yield f"query {param.name}: {_differs(facts.query or None, param)}"
    if not _admits(RouteMatch(subprotocols=match.subprotocols), facts):
        offered = _or(facts.subprotocols) if facts.subprotocols else "none"
        yield f"subprotocol: {offered} offered, not {_or(match.subprotocols)}"


def _admits(part: RouteMatch, facts: Facts, hostnames: Sequence[str] = ()) -> bool:
    """Whether a route of `part` alone is found; a path with two readings counts if both are."""
    spec = RouteSpec(
        selector=LabelSelector(),
        hostnames=list(hostnames),
        rules=[Rule(matches=[part], backend=Backend(port=1))],
    )
    route = Route(namespace="", name="", generation=0, created="", spec=spec)
    return isinstance(Matcher([route]).find(facts), Candidate)


def _differs(sent: str | None, wanted: HeaderMatch | QueryParamMatch) -> str:
    verb = "is not" if wanted.type == "Exact" else "does not match"
    return "missing" if sent is None else f"{sent!r} {verb} {wanted.value!r}"


def _or(values: Sequence[str]) -> str:
    return " or ".join(values)


_ORDER: Final = (
    "has the more specific hostname",
    "has an Exact path",
    "has the more specific path",
    "has the longer expression",
    "asks for a method",
    "asks for more headers",
    "asks for more query parameters",
    "asks for subprotocols",
    "is of the older route",
    "has the namespace that sorts first",
    "has the name that sorts first",
    "stands first in the route",
    "stands first in its rule",
)
"""How the first of two differs from the second, in the order that `matching` documents."""


def _precedence(first: Candidate, second: Candidate, facts: Facts) -> str:
    pairs = zip(_ORDER, _rank(first, facts), _rank(second, facts), strict=True)
    return next(words for words, a, b in pairs if a != b)


def _rank(candidate: Candidate, facts: Facts) -> tuple[Any, ...]:
    hostnames = [h for h in candidate.route.spec.hostnames if _admits(RouteMatch(), facts, [h])]
    host = max(((not h.startswith("*"), len(h)) for h in hostnames), default=(False, 0))
    path = candidate.path
    prefix = path.value.rstrip("/") if path.type == "PathPrefix" else ""
    specific = (path.type == "PathPrefix", -len(prefix))
    return (host, path.type != "Exact", specific, *candidate.order)
