"""`status ROUTE`: what the operator found, what each pod really holds, and what to do next."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from wsroute_api import listing
from wsroute_kubectl import terminal
from wsroute_kubectl.asking import Answer, ask, failures
from wsroute_kubectl.kubectl import Kubectl
from wsroute_kubectl.pods import Json, get_route, selected

_DEAF = (
    "The operator has not looked at this generation: is it running? "
    "kubectl get pods -A -l app.kubernetes.io/part-of=wsroute"
)


def status(kubectl: Kubectl, flags: Mapping[str, Any]) -> int:
    """Tell how far a route is; not to be ready is an answer, not an error."""
    route = get_route(kubectl, flags["target"])
    answers = ask(kubectl, selected(kubectl, route), "routes")
    terminal.show("\n".join(report(route, answers)))
    return int(bool(failures(answers)))


def report(route: Json, answers: Sequence[Answer]) -> Iterator[str]:
    """The lines about `route`, whose selected pods gave `answers`."""
    metadata, conditions = route["metadata"], route.get("status", {}).get("conditions", [])
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
    seen = route.get("status", {}).get("observedGeneration") == metadata["generation"]
    word = "ready" if ready and seen else "not ready"
    key = f"{metadata['namespace']}/{metadata['name']}"
    yield f"{key}, generation {metadata['generation']}: {word}"
    yield from ([] if seen else [_DEAF])
    yield ""
    rows = [(c["type"], c["status"], c["reason"], c["message"]) for c in conditions]
    if rows:
        yield listing.aligned([("CONDITION", "STATUS", "REASON", "MESSAGE"), *rows])
        yield ""
    if answers:
        lines = [(a.pod.name, *_held(route, a)) for a in answers]
        yield listing.aligned([("POD", "GENERATION", "STATE"), *lines])
    else:
        yield "spec.selector selects no pod of the namespace: kubectl get pods --show-labels"


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
