"""Routes and pods, reduced from the API server's objects to what planning needs.

A cluster has many pods and each changes often; what is kept of one is a few hundred bytes, and an
event that changes none of it is recognised by comparison. Raw objects in, structs out: a field
that is missing or of a later version is never an error here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from wsroute_api import contract
from wsroute_api.matching import compile_re2
from wsroute_api.problems import InvalidRouteError, problems, route_from_object
from wsroute_api.types import Route

Json = dict[str, Any]


class Sidecar(msgspec.Struct, frozen=True):
    """The injected container of a pod."""

    keys: tuple[str, ...]
    """Public keys that it trusts: those of the day its pod was admitted."""
    container_id: str = ""
    """The runtime's name of the running container; empty while none runs."""
    started: bool = False
    """Whether it runs and has passed its startup probe, so that it listens."""
    waiting: str = ""
    """Why it does not run, in the kubelet's word (CrashLoopBackOff)."""


class Reference(msgspec.Struct, frozen=True):
    """An object, as Events and owner references name it."""

    api_version: str
    kind: str
    name: str
    uid: str


class Pod(msgspec.Struct, frozen=True):
    """A pod that asked for injection."""

    uid: str
    namespace: str
    name: str
    labels: dict[str, str]
    address: str = ""
    phase: str = "Pending"
    deleting: bool = False
    ports: dict[str, int] = {}
    """Named TCP ports of the application's containers."""
    sidecar: Sidecar | None = None
    owner: Reference | None = None
    """Its controller."""
    created: str = ""
    """RFC 3339."""
    stamp: str = ""
    """What injection wrote on it: the version, and a digest of the container."""

    @property
    def live(self) -> bool:
        """Whether it may still serve; a finished pod keeps its address, which others may get."""
        return not self.deleting and self.phase in ("Pending", "Running")

    @property
    def reachable(self) -> bool:
        """Whether a snapshot can be pushed to it."""
        return (
            self.live and bool(self.address) and self.sidecar is not None and self.sidecar.started
        )

    @property
    def counts(self) -> bool:
        """Whether routes wait for it; a pod that only starts up does not make them unready."""
        return self.reachable or (self.live and self.phase == "Running")

    @property
    def obstacle(self) -> str | None:
        """Why nothing can be pushed to it, and what to do; None when something can."""
        if self.reachable:
            return None
        if self.sidecar is None:
            return (
                "has no sidecar, as the webhook did not see it (it was labelled later, or made "
                "while the webhook was away, or its namespace is left out): delete the pod, and "
                "its successor gets one"
            )
        return (
            f"its sidecar is not running ({self.sidecar.waiting or 'starting'}): see its log "
            f"(kubectl logs -n {self.namespace} {self.name} -c {contract.CONTAINER})"
        )


class RouteObject(msgspec.Struct, frozen=True):
    """A WebSocketRoute as it was read: its identity, what became of its spec, and its status."""

    uid: str
    namespace: str
    name: str
    generation: int
    route: Route | None
    """None where there are mistakes."""
    mistakes: tuple[str, ...] = ()
    status: Json = {}

    @property
    def key(self) -> str:
        """`namespace/name`, as people write it."""
        return f"{self.namespace}/{self.name}"


def pod_from_object(obj: Json) -> Pod:
    """What matters of a pod."""
    meta, spec, status = (obj.get(part) or {} for part in ("metadata", "spec", "status"))
    return Pod(
        uid=meta["uid"],
        namespace=meta["namespace"],
        name=meta["name"],
        labels=meta.get("labels") or {},
        address=status.get("podIP") or "",
        phase=status.get("phase") or "Pending",
        deleting="deletionTimestamp" in meta,
        ports=dict(_named_ports(spec)),
        sidecar=_sidecar(spec, status),
        owner=_owner(meta),
        created=meta.get("creationTimestamp") or "",
        stamp=(meta.get("annotations") or {}).get(contract.INJECTED_ANNOTATION) or "",
    )


def route_from_raw(obj: Json) -> RouteObject:
    """What matters of a route; a spec that cannot be read is a mistake like any other."""
    meta = obj["metadata"]
    route: Route | None = None
    try:
        route = route_from_object(obj)
        mistakes = tuple(str(problem) for problem in problems(route.spec, compile_re2))
    except InvalidRouteError as error:
        mistakes = (str(error),)
    return RouteObject(
        uid=meta["uid"],
        namespace=meta["namespace"],
        name=meta["name"],
        generation=meta["generation"],
        route=None if mistakes else route,
        mistakes=mistakes,
        status=obj.get("status") or {},
    )


def version_of(obj: Json) -> int:
    """The resourceVersion; Kubernetes lets clients compare those of one resource as numbers."""
    return int(obj["metadata"]["resourceVersion"])


def _owner(meta: Json) -> Reference | None:
    for reference in meta.get("ownerReferences") or []:
        if reference.get("controller"):
            return Reference(
                reference["apiVersion"], reference["kind"], reference["name"], reference["uid"]
            )
    return None


def _named_ports(spec: Json) -> Iterator[tuple[str, int]]:
    """TCP ports of all containers that run beside the sidecar; its own ports are no backend."""
    native = (c for c in spec.get("initContainers") or [] if c.get("restartPolicy") == "Always")
    for container in (*native, *(spec.get("containers") or [])):
        if container.get("name") == contract.CONTAINER:
            continue
        for port in container.get("ports") or []:
            number = port["containerPort"]
            tcp = port.get("protocol", "TCP") == "TCP"
            if port.get("name") and tcp and number not in contract.SIDECAR_PORTS:
                yield port["name"], number


def _sidecar(spec: Json, status: Json) -> Sidecar | None:
    for container in spec.get("initContainers") or []:
        if container.get("name") == contract.CONTAINER:
            return _running(_keys(container), status)
    return None


def _keys(container: Json) -> tuple[str, ...]:
    for variable in container.get("env") or []:
        if variable.get("name") == contract.ENV_PUBLIC_KEYS:
            return tuple((variable.get("value") or "").split(","))
    return ()


def _running(keys: tuple[str, ...], status: Json) -> Sidecar:
    for container in status.get("initContainerStatuses") or []:
        if container.get("name") == contract.CONTAINER:
            state = container.get("state") or {}
            running = "running" in state
            return Sidecar(
                keys=keys,
                container_id=container.get("containerID") or "" if running else "",
                started=running and container.get("started") is not False,
                waiting=(state.get("waiting") or state.get("terminated") or {}).get("reason") or "",
            )
    return Sidecar(keys=keys)
