"""A route's status: what planning found out and what the pushes came to, as conditions.

Words and reasons are Gateway API's where it has them. Each message says what is wrong, where, and
what to do.

    Accepted          the spec has no mistakes
    ResolvedRefs      there are pods, and they have the ports
    Programmed        all of these pods serve this generation
    PartiallyInvalid  only there while some match is never used, because another route has it
    Bypassed          only there while a Service leads clients past the sidecar: a warning
    Ready             all but the warning are well; otherwise the reason of the first that is not
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from wsroute_api import contract
from wsroute_operator.delivery import Delivery
from wsroute_operator.objects import Pod, RouteObject
from wsroute_operator.plan import NAMED_PODS, Verdict

Json = dict[str, Any]

_SHOWN: Final = 10
"""How many sentences a message has before it only counts."""


class PodReport(msgspec.Struct, frozen=True):
    """How far one pod is with one route."""

    name: str
    programmed: bool = False
    failure: str = ""
    """Why not, if that is known; otherwise the push is under way."""
    follows: bool = False
    """Whether that only follows from what another condition of the route says."""


class Finding(msgspec.Struct, frozen=True):
    """A condition without its bookkeeping."""

    type: str
    status: str
    reason: str
    message: str


def report(route: RouteObject, pod: Pod, delivery: Delivery | None) -> PodReport:
    """How far `pod` is with `route`."""
    if pod.obstacle:
        return PodReport(pod.name, failure=pod.obstacle)
    if delivery is None:
        return PodReport(pod.name)
    if route.uid not in delivery.wanted.generations:
        return PodReport(pod.name, failure="lacks a port that the route names", follows=True)
    held = delivery.held
    if held is not None and held.generations.get(route.uid) == route.generation:
        return PodReport(pod.name, programmed=True)
    return PodReport(pod.name, failure=delivery.failure.reason if delivery.failure else "")


def settled(reports: Iterable[PodReport]) -> bool:
    """Whether no push is under way."""
    return all(report.programmed or report.failure for report in reports)


def status(
    route: RouteObject,
    verdict: Verdict,
    reports: Sequence[PodReport],
    *,
    before: Mapping[str, Any],
    now: str,
) -> Json:
    """The status of `route` at `now` (RFC 3339), which was `before` until now."""
    programmed = sum(report.programmed for report in reports)
    return {
        "observedGeneration": route.generation,
        "conditions": [
            _condition(finding, route.generation, before, now)
            for finding in findings(route, verdict, reports)
        ],
        "pods": {
            "selected": len(reports),
            "programmed": programmed,
            "summary": f"{programmed}/{len(reports)}",
        },
    }


def findings(route: RouteObject, verdict: Verdict, reports: Sequence[PodReport]) -> list[Finding]:
    """All conditions of `route`, Ready last."""
    parts = [
        _accepted(route),
        _resolved(route, verdict),
        _programmed(route, reports),
        *_partially_invalid(verdict),
    ]
    return [*parts, *_bypassed(verdict), _ready(parts, verdict)]


def news(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Finding]:
    """What is wrong `after` and was not `before`.

    What only sums up, waits or follows from something that is told itself is none.
    """
    known = {_gist(condition) for condition in before.get("conditions", ())}
    for condition in after["conditions"]:
        finding = msgspec.convert(condition, Finding)
        if not _well(finding) and not _implied(finding) and _gist(condition) not in known:
            yield finding


def _gist(condition: Json) -> tuple[str, str, int | str]:
    """What makes a condition another one; which pods it counts and names changes all the time."""
    of_pods = condition["type"] in ("ResolvedRefs", "Programmed")
    last = condition["observedGeneration"] if of_pods else condition["message"]
    return (condition["type"], condition["reason"], last)


def _implied(finding: Finding) -> bool:
    return (
        finding.type == "Ready"
        or finding.reason in ("Pending", "Invalid")
        or (finding.type, finding.reason) == ("Programmed", "BackendNotFound")
    )


def _accepted(route: RouteObject) -> Finding:
    if not route.mistakes:
        return Finding("Accepted", "True", "Accepted", "The route is valid.")
    return Finding("Accepted", "False", "UnsupportedValue", _joined(route.mistakes))


def _resolved(route: RouteObject, verdict: Verdict) -> Finding:
    name = "ResolvedRefs"
    if route.mistakes:
        return Finding(name, "Unknown", "Pending", "Waits for the mistakes to be corrected.")
    if verdict.missing_ports:
        return Finding(name, "False", "BackendNotFound", _joined(verdict.missing_ports))
    if verdict.pods:
        return Finding(name, "True", "ResolvedRefs", f"Found in {_pods(len(verdict.pods))}.")
    if verdict.starting:
        return Finding(name, "False", "Pending", f"{_pods(verdict.starting)} still starting.")
    return Finding(
        name,
        "False",
        "NoMatchingPods",
        f"No pod of namespace {route.namespace} matches spec.selector and has the label "
        f"{contract.INJECT_LABEL}=true: compare both with the labels of the pods "
        f"(kubectl get pods -n {route.namespace} --show-labels).",
    )


def _programmed(route: RouteObject, reports: Sequence[PodReport]) -> Finding:
    name = "Programmed"
    if route.mistakes:
        return Finding(name, "False", "Invalid", "A route with mistakes is given to no pod.")
    if not reports:
        return Finding(name, "False", "Pending", "There is no pod to program.")
    count = sum(report.programmed for report in reports)
    summary = f"{count} of {len(reports)} pods serve generation {route.generation}"
    if count == len(reports):
        return Finding(name, "True", "Programmed", f"{summary}.")
    failing = [report for report in reports if report.failure]
    if not failing:
        return Finding(name, "False", "Pending", f"{summary}, the others are being programmed.")
    follows = all(report.follows for report in failing)
    reason = "BackendNotFound" if follows else "PodsNotProgrammed"
    return Finding(name, "False", reason, f"{summary}. Failing: {_failures(failing)}.")


def _failures(failing: Sequence[PodReport]) -> str:
    """Why pods fail, those together that fail alike."""
    alike: dict[str, list[str]] = defaultdict(list)
    for report in failing[:NAMED_PODS]:
        alike[report.failure].append(report.name)
    more = f"; and {len(failing) - NAMED_PODS} more" if len(failing) > NAMED_PODS else ""
    return "; ".join(f"{', '.join(names)}: {why}" for why, names in alike.items()) + more


def _partially_invalid(verdict: Verdict) -> Iterator[Finding]:
    if verdict.lost:
        yield Finding("PartiallyInvalid", "True", "Conflicted", _joined(verdict.lost))


def _bypassed(verdict: Verdict) -> Iterator[Finding]:
    if verdict.bypassed:
        yield Finding("Bypassed", "True", "ServiceBypassesSidecar", _joined(verdict.bypassed))


def _ready(parts: Sequence[Finding], verdict: Verdict) -> Finding:
    for part in parts:
        if not _well(part):
            return Finding("Ready", "False", part.reason, part.message)
    warning = f" But {_joined(verdict.bypassed)}." if verdict.bypassed else ""
    return Finding("Ready", "True", "Ready", parts[-1].message + warning)


def _well(finding: Finding) -> bool:
    return (finding.status == "True") != (finding.type in ("PartiallyInvalid", "Bypassed"))


def _joined(sentences: Sequence[str]) -> str:
    more = len(sentences) - _SHOWN
    return "; ".join(sentences[:_SHOWN]) + (f"; and {more} more" if more > 0 else "")


def _pods(count: int) -> str:
    return "1 pod" if count == 1 else f"{count} pods"


def _condition(finding: Finding, generation: int, before: Mapping[str, Any], now: str) -> Json:
    """The condition; its time is that of the last change of its status, as Kubernetes wants it."""
    since = now
    for earlier in before.get("conditions", ()):
        if earlier.get("type") == finding.type and earlier.get("status") == finding.status:
            since = earlier.get("lastTransitionTime", now)
    return {
        "type": finding.type,
        "status": finding.status,
        "observedGeneration": generation,
        "lastTransitionTime": since,
        "reason": finding.reason,
        "message": finding.message,
    }
