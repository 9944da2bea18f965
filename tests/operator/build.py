"""Raw objects and the structs made of them, as short as a table of cases needs them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from wsroute_api import contract
from wsroute_operator.objects import Pod, RouteObject, Sidecar, route_from_raw

Json = dict[str, Any]

RUNNING = Sidecar(keys=("k",), container_id="c1", started=True)


def raw_route(
    name: str,
    *,
    namespace: str = "shop",
    generation: int = 1,
    created: str = "2025-01-01T00:00:00Z",
    spec: Json | None = None,
    app: str = "chat",
    port: int | str = 8080,
    path: str = "/",
) -> Json:
    """A WebSocketRoute of one rule, unless `spec` is given."""
    return {
        "apiVersion": contract.API_VERSION,
        "kind": contract.KIND,
        "metadata": {
            "uid": f"uid-{name}",
            "namespace": namespace,
            "name": name,
            "generation": generation,
            "resourceVersion": str(generation),
            "creationTimestamp": created,
        },
        "spec": {
            "selector": {"matchLabels": {"app": app}},
            "rules": [{"matches": [{"path": {"value": path}}], "backend": {"port": port}}],
        }
        if spec is None
        else spec,
    }


def route(name: str, **about: Any) -> RouteObject:
    """What is made of `raw_route`."""
    return route_from_raw(raw_route(name, **about))


def pod(name: str, *, app: str = "chat", **about: Any) -> Pod:
    """A running pod with a running sidecar, unless `about` says otherwise."""
    usual: Json = {
        "address": "10.0.0.1",
        "phase": "Running",
        "ports": {"web": 8080},
        "sidecar": RUNNING,
    }
    chosen = usual | about
    return Pod(uid=f"uid-{name}", namespace="shop", name=name, labels={"app": app}, **chosen)


def raw_pod(
    *,
    containers: Sequence[Mapping[str, Any]] = ({"name": "app"},),
    init: Sequence[Mapping[str, Any]] = (),
    **status: Any,
) -> Json:
    """A pod with these containers and this status."""
    return {
        "metadata": {"uid": "u", "namespace": "shop", "name": "p", "labels": {"app": "chat"}},
        "spec": {"containers": list(containers), "initContainers": list(init)},
        "status": status,
    }


def changed(item: Pod, **about: Any) -> Pod:
    """A pod with some of its fields replaced."""
    return msgspec.structs.replace(item, **about)
