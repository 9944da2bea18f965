"""From all routes and all pods of a namespace to a table for each pod and a verdict on each route.

Pure, and a full rebuild: nothing is patched, so nothing can be left over.

- A route with mistakes is in no table, and harms no other route.
- A route whose backend names a port is left out of the tables of those pods that have no such
  port, where it could only fail.
- A route that loses an exact tie stays in the tables for the matches that it does not lose.
- A pod that no route selects has an empty table, which is a configuration like any other.
- A table lists its routes by age and name and only the ports that they use, so that equal content
  has an equal digest whatever else is in the cluster.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from typing import Final

import msgspec

from wsroute_api.matching import Conflict, conflicts
from wsroute_api.snapshot import digest, encode_table
from wsroute_api.types import Route, Table
from wsroute_operator.objects import Pod, RouteObject
from wsroute_operator.selectors import PodsByLabel

NAMED_PODS: Final = 10
"""How many pods a message names before it only counts."""


class PodTable(msgspec.Struct, frozen=True):
    """What one pod is to serve."""

    encoded: bytes
    digest: str
    generations: dict[str, int]
    """Generation of each of its routes, by the route's UID."""


class Verdict(msgspec.Struct, frozen=True):
    """What planning found out about one route."""

    pods: tuple[Pod, ...] = ()
    """The pods that it selects and that count, by name."""
    starting: int = 0
    """How many more it selects that only start up."""
    missing_ports: tuple[str, ...] = ()
    """Backends that some pods have no port for, as sentences."""
    lost: tuple[str, ...] = ()
    """Its matches that are never used, as sentences that name the winner."""


class Plan(msgspec.Struct, frozen=True):
    """The outcome for one namespace."""

    tables: dict[str, PodTable]
    """By the pod's UID; every live pod with a sidecar has one."""
    verdicts: dict[str, Verdict]
    """By the route's UID."""


def plan(namespace: str, routes: Iterable[RouteObject], pods: Iterable[Pod]) -> Plan:
    """The plan for `namespace`, whose `routes` and `pods` are given completely."""
    ordered = sorted(routes, key=_age)
    live = sorted((pod for pod in pods if pod.live), key=lambda pod: pod.name)
    by_label = PodsByLabel(live)
    served: dict[str, list[RouteObject]] = defaultdict(list)
    verdicts: dict[str, Verdict] = {}
    for item in ordered:
        selected = by_label.select(item.route.spec.selector) if item.route else []
        gaps = _Gaps()
        for pod in selected:
            if item.route and not gaps.found(item.route, pod):
                served[pod.uid].append(item)
        counting = tuple(pod for pod in selected if pod.counts)
        verdicts[item.uid] = Verdict(
            pods=counting,
            starting=len(selected) - len(counting),
            missing_ports=tuple(gaps.sentences()),
        )
    for uid, sentences in _lost(served.values()).items():
        verdicts[uid] = msgspec.structs.replace(verdicts[uid], lost=tuple(sorted(sentences)))
    compose = _Composer(namespace)
    tables = {pod.uid: compose(served[pod.uid], pod) for pod in live if pod.sidecar}
    return Plan(tables=tables, verdicts=verdicts)


def _age(item: RouteObject) -> tuple[str, str]:
    return (item.route.created if item.route else "", item.name)


def _backend_names(route: Route) -> Iterator[tuple[str, str]]:
    """Where a backend is named instead of numbered, and its name."""
    for index, rule in enumerate(route.spec.rules):
        if isinstance(rule.backend.port, str):
            yield f"spec.rules[{index}].backend.port", rule.backend.port


class _Gaps:
    """Named ports that a route asks for and pods do not have."""

    def __init__(self) -> None:
        self._pods: dict[tuple[str, str], list[str]] = defaultdict(list)

    def found(self, route: Route, pod: Pod) -> bool:
        """Whether `pod` lacks a port of `route`; notes it."""
        absent = [gap for gap in _backend_names(route) if gap[1] not in pod.ports]
        for gap in absent:
            self._pods[gap].append(pod.name)
        return bool(absent)

    def sentences(self) -> Iterator[str]:
        """What is missing, where, and what to do."""
        for (where, name), pods in self._pods.items():
            yield (
                f"{where}: no container port called {name!r} in {naming(pods)}: name a port that "
                "the pod's containers declare, or give its number; until then the route is left "
                "out there"
            )


def naming(pods: Collection[str]) -> str:
    """`pods` in words, the first ten by name."""
    names = sorted(pods)
    more = f" and {len(names) - NAMED_PODS} more" if len(names) > NAMED_PODS else ""
    return f"pod{'s' * (len(names) > 1)} {', '.join(names[:NAMED_PODS])}{more}"


def _lost(served: Iterable[list[RouteObject]]) -> dict[str, set[str]]:
    """Sentences on exact ties, by the loser's UID; only routes that share a pod can tie."""
    result: dict[str, set[str]] = defaultdict(set)
    together = {tuple(item.uid for item in items): items for items in served}
    for items in together.values():
        uids = {item.key: item.uid for item in items}
        for conflict in conflicts(item.route for item in items if item.route):
            result[uids[conflict.loser.key]].add(_sentence(conflict))
    return result


def _sentence(conflict: Conflict) -> str:
    if conflict.winner is conflict.loser:
        return (
            f"{conflict.where}: matches the same requests as {conflict.winner_where}, which comes "
            "first and gets them all: remove one of the two"
        )
    return (
        f"{conflict.where}: matches the same requests as {conflict.winner_where} of route "
        f"{conflict.winner.key}, which goes first by age and name and gets them all: change or "
        "remove one of the two"
    )


class _Composer:
    """Makes tables; pods with the same routes and ports share one."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace
        self._made: dict[object, PodTable] = {}

    def __call__(self, items: list[RouteObject], pod: Pod) -> PodTable:
        """The table with the routes of `items`, for the ports of `pod`."""
        routes = [item.route for item in items if item.route]
        used = {name for route in routes for _, name in _backend_names(route)}
        ports = {name: pod.ports[name] for name in sorted(used)}
        key = (tuple(item.uid for item in items), tuple(ports.items()))
        if key not in self._made:
            table = Table(namespace=self._namespace, routes=routes, ports=ports)
            encoded = encode_table(table)
            generations = {item.uid: item.generation for item in items}
            self._made[key] = PodTable(encoded, digest(encoded), generations)
        return self._made[key]
