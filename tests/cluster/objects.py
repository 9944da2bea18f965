"""Kubernetes objects, as small as the tests need them."""

from __future__ import annotations

from typing import Any

from wsroute_api import contract


def container(name: str, image: str, *command: str, **more: Any) -> dict[str, Any]:
    """A container of one of the images that were given to the node."""
    return {"name": name, "image": f"wsroute/{image}:dev", "command": command, **more}


def pod(name: str, *containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    """A pod with the label `app: NAME`, which ends fast."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"containers": containers, "terminationGracePeriodSeconds": 1, **spec},
    }


def injected(pod: dict[str, Any]) -> dict[str, Any]:
    """The pod, asking for a sidecar."""
    labels = {**pod["metadata"]["labels"], contract.INJECT_LABEL: "true"}
    return {**pod, "metadata": {**pod["metadata"], "labels": labels}}


def rule(path: str, port: int | str = 8080, **more: Any) -> dict[str, Any]:
    """A rule for all paths below one."""
    return {"matches": [{"path": {"value": path}}], "backend": {"port": port}, **more}


def route(name: str, *rules: dict[str, Any], app: str) -> dict[str, Any]:
    """A WebSocketRoute to the pods with the label `app`."""
    return {
        "apiVersion": contract.API_VERSION,
        "kind": contract.KIND,
        "metadata": {"name": name},
        "spec": {"selector": {"matchLabels": {"app": app}}, "rules": rules},
    }


def service(name: str, port: int) -> dict[str, Any]:
    """A Service whose port 80 leads to `port` of the pods with the label `app: NAME`."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": port}]},
    }
