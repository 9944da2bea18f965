"""Injection: what gives a pod its sidecar, or why it cannot have one.

Rules:

- Only a pod that carries the label is touched; the webhook's selector says so too.
- A pod that could not work with a sidecar is refused, with a text that says what to do. Injecting
  half of what is needed, or nothing in silence, would be found out by the users' users.
- The sidecar's container is put first, and takes the place of an earlier one of its name. An
  annotation says which version of wsroute and, by a digest, which container was put in.
- A pod is given its first snapshot in an annotation, bound to a nonce in the container's
  environment (`bootstrap` says what that is worth).
- The second pass of an admission leaves alone what it finds under its own digest, because others
  may have had reason to change it in between: pull policies, registries of mirrors, the limits of
  a LimitRange. It takes one thing away again: the service account's token, which the API server
  mounts into every container that it finds. The sidecar calls no API.

Pods are raw objects, never models: a field that is newer than this code must survive.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from typing import Any, Final

import msgspec

from wsroute_api import contract
from wsroute_operator import tuning
from wsroute_operator.container import Json, Sidecar, build, nonce_of, with_nonce

DEFAULT_CONTAINER: Final = "kubectl.kubernetes.io/default-container"
_MIRROR: Final = "kubernetes.io/config.mirror"
_TOKEN: Final = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105 - a path
_VERSION: Final = version("wsroute")


class RefusedError(Exception):
    """The pod cannot have a sidecar; the text, one line, says why and what to do."""


def patch(
    pod: Json,
    sidecar: Sidecar,
    keys: Sequence[str],
    *,
    nonce: str,
    sign: Callable[[str], str | None],
) -> list[Json]:
    """The JSON patch (RFC 6902) that gives `pod` its sidecar; empty if there is nothing to do.

    `nonce` is a new one, and `sign` gives the first snapshot for the nonce that the pod has.
    """
    if _metadata(pod, "labels").get(contract.INJECT_LABEL) != "true":
        return []
    problems = list(_problems(pod))
    if problems:
        raise RefusedError("; ".join(problems))
    try:
        wanted = tuning.read(_metadata(pod, "annotations"))
    except ValueError as error:
        raise RefusedError(str(error)) from error
    container = build(sidecar, wanted, keys)
    stamp = _stamp(container)
    containers = _injected(pod, stamp) or _with(pod, with_nonce(container, nonce))
    bound_to = next(nonce_of(c) for c in containers if c["name"] == contract.CONTAINER)
    return list(_operations(pod, containers, stamp, sign(bound_to) if bound_to else None))


def _operations(
    pod: Json, init_containers: list[Json], stamp: str, snapshot: str | None
) -> Iterator[Json]:
    annotations = {
        DEFAULT_CONTAINER: pod["spec"]["containers"][0]["name"],
        **_metadata(pod, "annotations"),
        contract.INJECTED_ANNOTATION: stamp,
        contract.BOOTSTRAP_ANNOTATION: snapshot,
    }
    present = {name: value for name, value in annotations.items() if value is not None}
    yield from _set(pod, "metadata", "annotations", present)
    yield from _set(pod, "spec", "initContainers", init_containers)
    volumes = _spec(pod, "volumes")
    if not any(volume["name"] == contract.CONTAINER for volume in volumes):
        ours = {"name": contract.CONTAINER, "emptyDir": {}}
        yield from _set(pod, "spec", "volumes", [*volumes, ours])


def _injected(pod: Json, stamp: str) -> list[Json]:
    """The init containers, if an earlier pass put the sidecar among them under this stamp."""
    present = _spec(pod, "initContainers")
    if _metadata(pod, "annotations").get(contract.INJECTED_ANNOTATION) == stamp and any(
        c["name"] == contract.CONTAINER for c in present
    ):
        return [_without_token(c) if c["name"] == contract.CONTAINER else c for c in present]
    return []


def _with(pod: Json, sidecar: Json) -> list[Json]:
    """The init containers with the sidecar in front, in place of an earlier one."""
    present = _spec(pod, "initContainers")
    return [sidecar, *(c for c in present if c["name"] != contract.CONTAINER)]


def _set(pod: Json, parent: str, member: str, value: Any) -> Iterator[Json]:
    """The operation, if one is needed; `add` also replaces a member (RFC 6902 section 4.1)."""
    if pod[parent].get(member) != value:
        yield {"op": "add", "path": f"/{parent}/{member}", "value": value}


def _stamp(container: Json) -> str:
    """The version, with a digest of the container as semantic versioning's build metadata."""
    encoded = msgspec.json.encode(container, order="deterministic")
    return f"{_VERSION}+{hashlib.sha256(encoded).hexdigest()[:8]}"


def _without_token(container: Json) -> Json:
    mounts = [m for m in container.get("volumeMounts") or [] if m["mountPath"] != _TOKEN]
    return {**container, "volumeMounts": mounts}


def _problems(pod: Json) -> Iterator[str]:
    """Why the pod could not work with a sidecar, each with what to do."""
    spec = pod["spec"]
    if _MIRROR in _metadata(pod, "annotations"):
        yield f"a static pod cannot be injected: remove the label {contract.INJECT_LABEL}"
    if spec.get("hostNetwork"):
        yield (
            "a pod with hostNetwork would take the ports 9300 to 9302 of its node: "
            f"remove hostNetwork, or the label {contract.INJECT_LABEL}"
        )
    if (spec.get("os") or {}).get("name") == "windows":
        yield f"the sidecar runs on Linux only: remove the label {contract.INJECT_LABEL}"
    yield from _container_problems(pod)
    for volume in _spec(pod, "volumes"):
        if volume["name"] == contract.CONTAINER and volume.get("emptyDir") is None:
            yield "volume wsroute is no emptyDir, and the sidecar needs that name: rename it"


def _container_problems(pod: Json) -> Iterator[str]:
    for container in _other_containers(pod):
        name = container["name"]
        if name == contract.CONTAINER:
            yield f"container {name} has the name of the sidecar: rename it"
        for port in container.get("ports") or []:
            if _clashes(port):
                yield (
                    f"container {name} declares port {port['containerPort']}, "
                    "but 9300 to 9302 are the sidecar's: use another"
                )
            if port.get("name") == contract.CONTAINER:
                yield f"container {name} has a port called wsroute, as the sidecar has: rename it"


def _other_containers(pod: Json) -> list[Json]:
    """All containers but one that an earlier injection put in."""
    ordinary = [
        container
        for container in _spec(pod, "initContainers")
        if container["name"] != contract.CONTAINER or container.get("restartPolicy") != "Always"
    ]
    return [*ordinary, *_spec(pod, "containers")]


def _clashes(port: Json) -> bool:
    return port["containerPort"] in contract.SIDECAR_PORTS and port.get("protocol", "TCP") == "TCP"


def _metadata(pod: Json, member: str) -> dict[str, str]:
    return pod["metadata"].get(member) or {}


def _spec(pod: Json, member: str) -> list[Json]:
    return pod["spec"].get(member) or []
