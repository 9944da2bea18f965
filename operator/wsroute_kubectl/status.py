"""`status ROUTE`: what the operator found, what each pod really holds, and what to do next."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from wsroute_api import listing
from wsroute_kubectl import terminal
from wsroute_kubectl.asking import Answer, ask
from wsroute_kubectl.kubectl import Kubectl
from wsroute_kubectl.pods import UNSELECTED, Json, get_route, selected

_SUMMARY: Final = "Ready"
"""The condition that repeats what is wrong with one of the others."""

_DEAF: Final = (
    "The operator has not looked at this generation: is it running? "
    "kubectl get pods -A -l app.kubernetes.io/part-of=wsroute"
)


def status(kubectl: Kubectl, flags: Mapping[str, Any]) -> int:
    """Tell how far a route is; not to be ready is an answer, not an error."""
    route = get_route(kubectl, flags["target"])
    answers = ask(kubectl, selected(kubectl, route), "routes")
    terminal.show("\n".join(report(route, answers)))
    return int(any(answer.failure for answer in answers))


def report(route: Json, answers: Sequence[Answer]) -> Iterator[str]:
    """The lines about `route`, whose selected pods gave `answers`."""
    metadata, conditions = route["metadata"], route.get("status", {}).get("conditions", [])
    word = "ready" if is_ready(route) else "not ready"
    key = f"{metadata['namespace']}/{metadata['name']}"
    yield f"{key}, generation {metadata['generation']}: {word}"
    yield from ([] if _is_seen(route) else [_DEAF])
    yield ""
    parts = [c for c in conditions if c["type"] != _SUMMARY]
    rows = [(c["type"], c["status"], c["reason"], c["message"]) for c in parts]
    if rows:
        yield _table("CONDITION STATUS REASON MESSAGE", rows)
        yield ""
    if answers:
        yield _table("POD GENERATION STATE", [(a.pod.name, *_held(route, a)) for a in answers])
    else:
        yield UNSELECTED


def is_ready(route: Json) -> bool:
    """Whether the operator says so of the present generation."""
    return _is_seen(route) and any(
        c["type"] == _SUMMARY and c["status"] == "True" for c in route["status"]["conditions"]
    )


def _is_seen(route: Json) -> bool:
    seen: bool = (
        route.get("status", {}).get("observedGeneration") == route["metadata"]["generation"]
    )
    return seen


def _table(head: str, rows: Sequence[Sequence[str]]) -> str:
    return listing.aligned(terminal.wrapped([head.split(), *rows]))


def _held(route: Json, answer: Answer) -> tuple[str, str]:
    """The generation that a pod holds, and what that means."""
    metadata = route["metadata"]
    if answer.failure:
        return "-", answer.failure
    for held in answer.said:
        if (held["namespace"], held["name"]) == (metadata["namespace"], metadata["name"]):
            if held["generation"] == metadata["generation"]:
                return str(held["generation"]), "serves it"
            return str(held["generation"]), "serves another generation: see Programmed"
    return "-", "does not hold the route: see Accepted, ResolvedRefs and Programmed"
