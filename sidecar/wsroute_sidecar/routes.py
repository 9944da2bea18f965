"""The table that is being served: compiled whole, swapped by one reference."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from wsroute_api.matching import Ambiguous, Candidate, Facts, Matcher, compile_re2
from wsroute_api.problems import problems
from wsroute_api.types import Route
from wsroute_sidecar.policy import Policy, compile_rule


class Unprogrammable(ValueError):  # noqa: N818 - the word of the Programmed condition
    """A table that cannot be served; the text says which route, where and why."""


class Compiled:
    """An immutable table of routes, ready to be asked."""

    __slots__ = ("_matcher", "_policies", "routes")

    def __init__(self, routes: Iterable[Route], ports: Mapping[str, int]) -> None:
        """Compile one route after the other; Unprogrammable when one of them has a problem.

        `ports` are the numbers of those that the pod's containers name.
        """
        self._policies: Final[dict[tuple[str, int], Policy]] = {}
        taken: list[Route] = []
        self._matcher: Final = Matcher(self._checked(routes, ports, taken))
        self.routes: Final[Sequence[Route]] = tuple(taken)

    def _checked(
        self, routes: Iterable[Route], ports: Mapping[str, int], taken: list[Route]
    ) -> Iterator[Route]:
        for route in routes:
            if (route.key, 0) in self._policies:
                raise Unprogrammable(f"{route.key}: is there twice")
            for problem in problems(route.spec, compile_re2):
                raise Unprogrammable(f"{route.key}: {problem}")
            for index in range(len(route.spec.rules)):
                try:
                    policy = compile_rule(route, index, ports)
                except ValueError as error:
                    raise Unprogrammable(f"{route.key}: {error}") from error
                self._policies[route.key, index] = policy
            taken.append(route)
            yield route

    def find(self, facts: Facts) -> tuple[Candidate, Policy] | Ambiguous | None:
        """The match and policy that a request belongs to."""
        found = self._matcher.find(facts)
        if isinstance(found, Candidate):
            return found, self._policies[found.route.key, found.rule_index]
        return found

    def policies(self) -> Sequence[Policy]:
        """The policies of all rules."""
        return tuple(self._policies.values())


class Live:
    """The one reference that is swapped; None until there is a first table."""

    __slots__ = ("table",)

    def __init__(self) -> None:
        self.table: Compiled | None = None
