"""Which rule a request belongs to.

Order between matches, first difference decides (Gateway API HTTPRouteRule, extended):
 1. hostname: exact before wildcard before none; a longer wildcard before a shorter one
 2. path: Exact, then RegularExpression (the longer first), then the longest PathPrefix
 3. a method before none
 4. more headers
 5. more query parameters
 6. subprotocols before none
 7. the older route
 8. namespace/name, then the order in which rules and matches stand

A prefix is compared element by element: /ws matches /ws and /ws/a, never /wsx.

What is forwarded is exactly what was matched. A path that can be read in several ways (percent
encodings, dot segments, parameters, doubled or backward slashes) is looked up twice, as it was sent
and in its most liberal reading; if the two belong to different matches, the request is Ambiguous
and must be refused, so no spelling reaches a backend around the rule that was meant for it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, Protocol
from urllib.parse import parse_qsl, unquote

import msgspec

from wsroute_api.types import PathMatch, Route, RouteMatch, Rule


class Pattern(Protocol):
    """A compiled expression, of RE2 or of Python."""

    def fullmatch(self, text: str, /) -> object:
        """Truthy when the whole of `text` matches."""


def compile_re2(expression: str) -> Pattern:
    """`expression` compiled by RE2, whose time is linear; ValueError says what is wrong."""
    import re2  # noqa: PLC0415 - 1.6 MB that only routes with expressions pay for

    options = re2.Options()
    options.log_errors = False
    try:
        pattern: Pattern = re2.compile(expression, options=options)
    except re2.error as error:
        detail = error.args[0] if error.args else "cannot be compiled"
        raise ValueError(detail.decode() if isinstance(detail, bytes) else str(detail)) from error
    return pattern


class Headers(Protocol):
    """A request's header fields."""

    def get(self, name: str, /) -> str | None:
        """The value of the field `name`, whatever its case."""


class Facts(msgspec.Struct, frozen=True):
    """What matching looks at in a request."""

    host: str
    """Host without port, lower case, without a trailing dot."""
    path: str
    """Path as sent, without query."""
    method: str = "GET"
    headers: Headers = {}
    query: str = ""
    subprotocols: tuple[str, ...] = ()


class Candidate(msgspec.Struct, frozen=True, gc=False):
    """One match of one rule, ready to be asked."""

    route: Route
    rule: Rule
    rule_index: int
    match_index: int
    path: PathMatch
    pattern: Pattern | None
    tests: tuple[Callable[[Facts], bool], ...]
    order: tuple[Any, ...]

    @property
    def where(self) -> str:
        """The field path of the match in its route."""
        return f"spec.rules[{self.rule_index}].matches[{self.match_index}]"

    @property
    def match(self) -> RouteMatch:
        """The match as its user wrote it."""
        return (self.rule.matches or _ANY)[self.match_index]

    def admits(self, facts: Facts) -> bool:
        """Whether everything but host and path fits."""
        return not self.tests or all(test(facts) for test in self.tests)


class Ambiguous(msgspec.Struct, frozen=True):
    """The path has two readings that belong to different matches."""

    path: str
    liberal: str


class _HostTable:
    """All candidates for one hostname, found by path."""

    __slots__ = ("exact", "prefixes", "regexes")

    def __init__(self) -> None:
        self.exact: dict[str, list[Candidate]] = {}
        self.regexes: list[Candidate] = []
        self.prefixes: dict[str, list[Candidate]] = {}

    def add(self, candidate: Candidate) -> None:
        path = candidate.path
        if path.type == "Exact":
            self.exact.setdefault(path.value, []).append(candidate)
        elif path.type == "PathPrefix":
            self.prefixes.setdefault(path.value.rstrip("/"), []).append(candidate)
        else:
            self.regexes.append(candidate)

    def sort(self) -> None:
        for group in (*self.exact.values(), *self.prefixes.values(), self.regexes):
            group.sort(key=lambda candidate: candidate.order)

    def find(self, facts: Facts, path: str) -> Candidate | None:
        """The first candidate that admits `facts`, read as if their path were `path`."""
        for candidate in self.exact.get(path, ()):
            if candidate.admits(facts):
                return candidate
        for candidate in self.regexes:
            pattern = candidate.pattern
            if pattern is not None and pattern.fullmatch(path) and candidate.admits(facts):
                return candidate
        prefix = path.rstrip("/")
        while True:
            for candidate in self.prefixes.get(prefix, ()):
                if candidate.admits(facts):
                    return candidate
            if not prefix:
                return None
            prefix = prefix.rpartition("/")[0]


class Matcher:
    """An immutable table of routes that answers which match a request belongs to."""

    __slots__ = ("_every_host", "_exact_hosts", "_wildcards")

    def __init__(self, routes: Iterable[Route]) -> None:
        """Compile `routes`, which must be free of problems; O(matches)."""
        self._exact_hosts: dict[str, _HostTable] = {}
        self._wildcards: dict[str, _HostTable] = {}
        self._every_host: Final = _HostTable()
        for route in routes:
            for candidate in candidates(route):
                for hostname in route.spec.hostnames or ("",):
                    self._table(hostname).add(candidate)
        for table in (*self._exact_hosts.values(), *self._wildcards.values(), self._every_host):
            table.sort()

    def _table(self, hostname: str) -> _HostTable:
        """Wildcards are kept by their suffix with its dot; no hostname is every host's."""
        if not hostname:
            return self._every_host
        if hostname.startswith("*"):
            return self._wildcards.setdefault(hostname[1:], _HostTable())
        return self._exact_hosts.setdefault(hostname, _HostTable())

    def find(self, facts: Facts) -> Candidate | Ambiguous | None:
        """The match that `facts` belong to, None without one."""
        found = self._lookup(facts, facts.path)
        if _PLAIN_PATH.match(facts.path):
            return found
        liberal = liberal_reading(facts.path)
        if liberal != facts.path and self._lookup(facts, liberal) is not found:
            return Ambiguous(facts.path, liberal)
        return found

    def _lookup(self, facts: Facts, path: str) -> Candidate | None:
        for table in self._hosts(facts.host):
            if (found := table.find(facts, path)) is not None:
                return found
        return None

    def _hosts(self, host: str) -> Iterator[_HostTable]:
        if (table := self._exact_hosts.get(host)) is not None:
            yield table
        dot = host.find(".") if self._wildcards else -1
        while dot > 0:
            if (table := self._wildcards.get(host[dot:])) is not None:
                yield table
            dot = host.find(".", dot + 1)
        yield self._every_host


_PLAIN_PATH: Final = re.compile(r"(/[A-Za-z0-9_~!$&'()*+,=:@-][A-Za-z0-9_.~!$&'()*+,=:@-]*)*/?\Z")


def liberal_reading(path: str) -> str:
    """`path` as the most forgiving backend reads it: decoded, without parameters, dots resolved."""
    segments: list[str] = []
    text = unquote(path, errors="surrogateescape").replace("\\", "/")
    for segment in text.split("/"):
        name = segment.partition(";")[0]
        if name == "..":
            segments = segments[:-1]
        elif name not in ("", "."):
            segments.append(name)
    trailing = "/" if segments and text.endswith(("/", "/.", "/..")) else ""
    return "/" + "/".join(segments) + trailing


_ANY: Final = (RouteMatch(),)


def candidates(route: Route) -> Iterator[Candidate]:
    """All matches of all rules of `route`, compiled."""
    for rule_index, rule in enumerate(route.spec.rules):
        for match_index, match in enumerate(rule.matches or _ANY):
            path = match.path
            regular = path.type == "RegularExpression"
            yield Candidate(
                route=route,
                rule=rule,
                rule_index=rule_index,
                match_index=match_index,
                path=path,
                pattern=compile_re2(path.value) if regular else None,
                tests=tuple(_tests(match)),
                order=(
                    -len(path.value) if regular else 0,
                    match.method is None,
                    -len(match.headers),
                    -len(match.query_params),
                    not match.subprotocols,
                    route.created,
                    route.namespace,
                    route.name,
                    rule_index,
                    match_index,
                ),
            )


def _tests(match: RouteMatch) -> Iterator[Callable[[Facts], bool]]:
    if (method := match.method) is not None:
        yield lambda facts: facts.method == method
    for header in match.headers:
        yield _header_test(header.name, _value_test(header.type, header.value))
    if match.query_params:
        tests = [(p.name, _value_test(p.type, p.value)) for p in match.query_params]
        yield lambda facts: _query_admits(facts.query, tests)
    if wanted := frozenset(match.subprotocols):
        yield lambda facts: not wanted.isdisjoint(facts.subprotocols)


def _header_test(name: str, test: Callable[[str], bool]) -> Callable[[Facts], bool]:
    def admits(facts: Facts) -> bool:
        value = facts.headers.get(name)
        return value is not None and test(value)

    return admits


def _query_admits(query: str, tests: list[tuple[str, Callable[[str], bool]]]) -> bool:
    """Gateway API: of a repeated parameter, the first value counts."""
    values: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        values.setdefault(name, value)
    return all(name in values and test(values[name]) for name, test in tests)


def _value_test(kind: str, value: str) -> Callable[[str], bool]:
    if kind == "Exact":
        return lambda text: text == value
    pattern = compile_re2(value)
    return lambda text: bool(pattern.fullmatch(text))


class Conflict(msgspec.Struct, frozen=True):
    """Two matches that admit exactly the same requests: only the first is ever used."""

    winner: Route
    loser: Route
    where: str
    """Field path of the loser's match."""
    winner_where: str


def conflicts(routes: Iterable[Route]) -> list[Conflict]:
    """All exact ties between `routes`, each with its loser; order of `routes` does not matter."""
    taken: dict[tuple[str, object], Candidate] = {}
    result = []
    everything = [c for route in routes for c in candidates(route)]
    for candidate in sorted(everything, key=lambda c: c.order[5:]):
        for hostname in candidate.route.spec.hostnames or ("",):
            key = (hostname, _identity(candidate))
            winner = taken.setdefault(key, candidate)
            if winner is not candidate:
                result.append(
                    Conflict(winner.route, candidate.route, candidate.where, winner.where)
                )
    return result


def _identity(candidate: Candidate) -> object:
    """What two matches share exactly when they admit the same requests."""
    match = candidate.match
    path = match.path.value.rstrip("/") if match.path.type == "PathPrefix" else match.path.value
    return (
        match.path.type,
        path,
        match.method,
        frozenset((h.type, h.name.lower(), h.value) for h in match.headers),
        frozenset((p.type, p.name, p.value) for p in match.query_params),
        frozenset(match.subprotocols),
    )
