"""Pods: which are meant, and whether their sidecars can be asked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from wsroute_api import contract
from wsroute_api.types import LabelSelector, LabelSelectorRequirement
from wsroute_kubectl.kubectl import Kubectl

Json = dict[str, Any]

UNLABELLED: Final = (
    f"no pod that runs here has the label {contract.INJECT_LABEL}=true: see -n and -A"
)
UNSELECTED: Final = "spec.selector selects no pod of the namespace: kubectl get pods --show-labels"


class Pod(msgspec.Struct, frozen=True):
    """A pod that has not finished."""

    namespace: str
    name: str
    obstacle: str = ""
    """Why its sidecar cannot be asked, and what to do."""

    @property
    def key(self) -> str:
        """The pod as people write it."""
        return f"pod/{self.name}"


@dataclass(frozen=True)
class Chosen:
    """The pods that a command is about."""

    pods: list[Pod]
    route: str | None = None
    """`namespace/name` of the one route that it is about."""


def choose(kubectl: Kubectl, target: str | None, *, everywhere: bool = False) -> Chosen:
    """The pods of `target`: of a route, `pod/NAME`, or all with a sidecar if it is None."""
    if target is None:
        label = f"--selector={contract.INJECT_LABEL}=true"
        return Chosen(read(kubectl.get("pods", label, everywhere=everywhere)))
    if everywhere:
        raise ValueError(f"{target} is in one namespace: leave -A out, or name it with -n")
    if target.startswith("pod/"):
        return Chosen([get_pod(kubectl, target)])
    route = get_route(kubectl, target)
    metadata = route["metadata"]
    return Chosen(selected(kubectl, route), f"{metadata['namespace']}/{metadata['name']}")


def get_pod(kubectl: Kubectl, target: str) -> Pod:
    """The pod of this name, with or without `pod/` before it; ValueError when it has finished."""
    found = read({"items": [kubectl.get("pod", target.removeprefix("pod/"))]})
    if not found:
        raise ValueError(f"{target} has finished: kubectl get pods shows those that run")
    return found[0]


def get_running(kubectl: Kubectl, target: str) -> Pod:
    """The pod of this name, whose sidecar can be asked; ValueError says why it cannot."""
    pod = get_pod(kubectl, target)
    if pod.obstacle:
        raise ValueError(f"{pod.namespace} {pod.key} {pod.obstacle}")
    return pod


def get_route(kubectl: Kubectl, name: str) -> Json:
    """The route's object."""
    found: Json = kubectl.get(f"{contract.PLURAL}.{contract.GROUP}", name)
    return found


def selected(kubectl: Kubectl, route: Json) -> list[Pod]:
    """The pods that `route` selects, with a sidecar or without."""
    selector = msgspec.convert(route["spec"]["selector"], LabelSelector)
    return read(kubectl.get("pods", f"--selector={selector_text(selector)}"))


def selector_text(selector: LabelSelector) -> str:
    """`selector` as kubectl's --selector takes it."""
    labels = [f"{key}={value}" for key, value in selector.match_labels.items()]
    return ",".join([*labels, *map(_requirement, selector.match_expressions)])


def _requirement(requirement: LabelSelectorRequirement) -> str:
    key, values = requirement.key, ",".join(requirement.values)
    return {
        "In": f"{key} in ({values})",
        "NotIn": f"{key} notin ({values})",
        "Exists": key,
        "DoesNotExist": f"!{key}",
    }[requirement.operator]


def read(listed: Json) -> list[Pod]:
    """The pods of a list that have not finished, by name."""
    return sorted(_unfinished(listed), key=lambda pod: (pod.namespace, pod.name))


def _unfinished(listed: Json) -> Iterator[Pod]:
    for item in listed["items"]:
        if item.get("status", {}).get("phase") not in ("Succeeded", "Failed"):
            metadata = item["metadata"]
            yield Pod(metadata["namespace"], metadata["name"], _obstacle(item))


def _obstacle(pod: Json) -> str:
    containers = pod["spec"].get("initContainers", [])
    if all(container["name"] != contract.CONTAINER for container in containers):
        if pod["metadata"].get("labels", {}).get(contract.INJECT_LABEL) == "true":
            return "has no sidecar: it is older than its label, make it anew"
        return f"has no sidecar: label its template {contract.INJECT_LABEL}=true"
    for status in pod.get("status", {}).get("initContainerStatuses", []):
        if status["name"] == contract.CONTAINER and "running" not in status.get("state", {}):
            return f"its sidecar does not run{_reason(status)}: kubectl describe pod tells more"
        if status["name"] == contract.CONTAINER:
            return ""
    return "its sidecar is not there yet: kubectl describe pod tells more"


def _reason(status: Json) -> str:
    for state in status.get("state", {}).values():
        if reason := state.get("reason"):
            return f" ({reason})"
    return ""
