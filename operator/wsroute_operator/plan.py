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
from wsroute_operator.services import Service, WaysPast

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

    generation: int
    pods: tuple[Pod, ...] = ()
    """The pods that it selects and that count, by name."""
    starting: int = 0
    """How many more it selects that only start up."""
    missing_ports: tuple[str, ...] = ()
    """Backends that some pods have no port for, as sentences."""
    lost: tuple[str, ...] = ()
    """Its matches that are never used, as sentences that name the winner."""
    bypassed: tuple[str, ...] = ()
    """Services that lead to its backends past the sidecar, as sentences."""


class Plan(msgspec.Struct, frozen=True):
    """The outcome for one namespace."""

    tables: dict[str, PodTable]
    """By the pod's UID; every live pod with a sidecar has one."""
    verdicts: dict[str, Verdict]
    """By the route's UID."""


def plan(
    namespace: str,
    routes: Iterable[RouteObject],
    pods: Iterable[Pod],
    services: Iterable[Service] = (),
) -> Plan:
    """The plan for `namespace`, whose objects are given completely."""
    live = sorted((pod for pod in pods if pod.live), key=lambda pod: pod.name)
    by_label = PodsByLabel(live)
    past = WaysPast(services, by_label)
    served: dict[str, list[RouteObject]] = defaultdict(list)
    verdicts: dict[str, Verdict] = {}
    counts = {pod.uid for pod in live if pod.counts}
    for item in sorted(routes, key=_age):
        selected = by_label.select(item.route.spec.selector) if item.route else []
        missing = _missing_ports(item, selected)
        for pod in selected:
            if pod.uid not in missing:
                served[pod.uid].append(item)
        counting = tuple([pod for pod in selected if pod.uid in counts])
        verdicts[item.uid] = Verdict(
            generation=item.generation,
            pods=counting,
            starting=len(selected) - len(counting),
            missing_ports=tuple(_missing_sentences(missing, selected)),
            bypassed=tuple(past.sentences(item, selected)),
        )
    together = _Together(namespace)
    tables = {pod.uid: together.table(served[pod.uid], pod) for pod in live if pod.sidecar}
    for uid, sentences in together.lost().items():
        verdicts[uid] = msgspec.structs.replace(verdicts[uid], lost=tuple(sorted(sentences)))
    return Plan(tables=tables, verdicts=verdicts)


def _age(item: RouteObject) -> tuple[str, str]:
    return (item.route.created if item.route else "", item.name)


def _backend_names(route: Route) -> Iterator[tuple[str, str]]:
    """Where a backend is named instead of numbered, and its name."""
    for index, rule in enumerate(route.spec.rules):
        if isinstance(rule.backend.port, str):
            yield f"spec.rules[{index}].backend.port", rule.backend.port


def _missing_ports(item: RouteObject, pods: list[Pod]) -> dict[str, list[tuple[str, str]]]:
    """Which of the ports that a route names a pod lacks, by the UID of those that lack any."""
    names = list(_backend_names(item.route)) if item.route else []
    if not names:
        return {}
    lacks = ((pod.uid, [gap for gap in names if gap[1] not in pod.ports]) for pod in pods)
    return {uid: gaps for uid, gaps in lacks if gaps}


def _missing_sentences(missing: dict[str, list[tuple[str, str]]], pods: list[Pod]) -> Iterator[str]:
    """What is missing, where, and what to do."""
    for where, name in sorted({gap for gaps in missing.values() for gap in gaps}):
        lacking = [pod.name for pod in pods if (where, name) in missing.get(pod.uid, ())]
        yield (
            f"{where}: no container port called {name!r} in {naming(lacking)}: name a port that "
            "the pod's containers declare, or give its number; until then the route is left out "
            "there"
        )


def naming(pods: Collection[str]) -> str:
    """`pods` in words, the first ten by name."""
    names = sorted(pods)
    more = f" and {len(names) - NAMED_PODS} more" if len(names) > NAMED_PODS else ""
    return f"pod{'s' * (len(names) > 1)} {', '.join(names[:NAMED_PODS])}{more}"


def _sentence(conflict: Conflict) -> str:
    if conflict.winner is conflict.loser:
        return (
            f"{conflict.where} matches the same requests as {conflict.winner_where}, which comes "
            "first and gets them all: remove one of the two"
        )
    return (
        f"{conflict.where} of route {conflict.loser.key} matches the same requests as "
        f"{conflict.winner_where} of route {conflict.winner.key}, which goes first by age and name "
        "and gets them all: change or remove one of the two"
    )


class _Together:
    """Sets of routes that share a pod: they may tie, and make a table for each choice of ports."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace
        self._sets: dict[tuple[str, ...], _RouteSet] = {}

    def table(self, items: list[RouteObject], pod: Pod) -> PodTable:
        """The table with the routes of `items`, for the ports of `pod`."""
        uids = tuple([item.uid for item in items])
        if uids not in self._sets:
            self._sets[uids] = _RouteSet(self._namespace, items)
        return self._sets[uids].table(pod)

    def lost(self) -> dict[str, set[str]]:
        """Sentences on exact ties, by the loser's UID."""
        result: dict[str, set[str]] = defaultdict(set)
        for together in self._sets.values():
            for conflict in conflicts(together.routes):
                result[together.uids[conflict.loser.key]].add(_sentence(conflict))
        return result


class _RouteSet:
    """Routes that the same pods serve."""

    def __init__(self, namespace: str, items: list[RouteObject]) -> None:
        self.routes = [item.route for item in items if item.route]
        self.uids = {item.key: item.uid for item in items}
        self._namespace = namespace
        self._generations = {item.uid: item.generation for item in items}
        self._names = sorted({name for route in self.routes for _, name in _backend_names(route)})
        self._tables: dict[tuple[int, ...], PodTable] = {}

    def table(self, pod: Pod) -> PodTable:
        """The table for the ports of `pod`, which it shares with pods that have the same."""
        numbers = tuple([pod.ports[name] for name in self._names])
        if numbers not in self._tables:
            ports = dict(zip(self._names, numbers, strict=True))
            encoded = encode_table(
                Table(namespace=self._namespace, routes=self.routes, ports=ports)
            )
            self._tables[numbers] = PodTable(encoded, digest(encoded), self._generations)
        return self._tables[numbers]
