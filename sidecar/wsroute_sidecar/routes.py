"""The table that is being served: compiled whole, swapped by one reference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from wsroute_api.matching import Ambiguous, Candidate, Facts, Matcher, compile_re2
from wsroute_api.problems import problems
from wsroute_api.types import Route, Table
from wsroute_sidecar.policy import Policy, compile_rule


class Unprogrammable(ValueError):  # noqa: N818 - the word of the Programmed condition
    """A table that cannot be served; the text says which route, where and why."""


class Compiled:
    """An immutable table of routes, ready to be asked."""

    __slots__ = ("_matcher", "_policies", "routes")

    def __init__(self, table: Table) -> None:
        """Compile `table`; Unprogrammable when one of its routes has a problem."""
        self.routes: Final[Sequence[Route]] = tuple(table.routes)
        self._policies: Final[dict[tuple[str, int], Policy]] = {}
        for route in self.routes:
            if (route.key, 0) in self._policies:
                raise Unprogrammable(f"{route.key}: is there twice")
            for problem in problems(route.spec, compile_re2):
                raise Unprogrammable(f"{route.key}: {problem}")
            for index in range(len(route.spec.rules)):
                try:
                    policy = compile_rule(route, index, table.ports)
                except ValueError as error:
                    raise Unprogrammable(f"{route.key}: {error}") from error
                self._policies[route.key, index] = policy
        self._matcher: Final = Matcher(self.routes)

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
