"""Events: what people read at the end of `kubectl describe`.

An Event has a name made of what it says. The API server refuses a second one of the same name, so a
thing is told once, however often it is found and by whichever replica, until Events are forgotten.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Final, Literal

import msgspec

from wsroute_api import contract, log
from wsroute_operator.kube import FIELD_MANAGER, ConflictError, Kube, KubeError
from wsroute_operator.objects import Json, Pod, Reference, RouteObject

_NOTE_LIMIT: Final = 1024


class Fact(msgspec.Struct, frozen=True):
    """What is told, and of which object."""

    namespace: str
    about: Reference
    kind: Literal["Normal", "Warning"]
    reason: str
    note: str
    action: str = "Inject"


def of_route(route: RouteObject) -> Reference:
    """How an Event refers to a route."""
    return Reference(contract.API_VERSION, contract.KIND, route.name, route.uid)


def of_pod(pod: Pod) -> Reference:
    """How an Event refers to a pod."""
    return Reference("v1", "Pod", pod.name, pod.uid)


def event(fact: Fact) -> Json:
    """The Event that tells `fact`."""
    said = "\n".join((fact.about.uid, fact.reason, fact.note))
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {
            "name": f"{fact.about.name[:200]}.{hashlib.sha256(said.encode()).hexdigest()[:16]}",
            "namespace": fact.namespace,
        },
        "eventTime": datetime.now(UTC).isoformat(timespec="microseconds"),
        "type": fact.kind,
        "reason": fact.reason,
        "action": fact.action,
        "note": fact.note[:_NOTE_LIMIT],
        "regarding": {
            "apiVersion": fact.about.api_version,
            "kind": fact.about.kind,
            "namespace": fact.namespace,
            "name": fact.about.name,
            "uid": fact.about.uid,
        },
        "reportingController": f"{contract.GROUP}/operator",
        "reportingInstance": FIELD_MANAGER,
    }


async def tell(kube: Kube, fact: Fact) -> None:
    """Post the Event, unless it was posted before; one that cannot be posted is only logged."""
    try:
        await kube.create_event(fact.namespace, event(fact))
    except ConflictError:
        return
    except KubeError as error:
        about = f"{fact.about.kind} {fact.namespace}/{fact.about.name}"
        log.warning("event_not_created", about=about, reason=fact.reason, error=str(error))
