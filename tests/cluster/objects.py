"""Kubernetes objects, as small as the tests need them."""

from __future__ import annotations

from typing import Any


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


def service(name: str, port: int) -> dict[str, Any]:
    """A Service whose port 80 leads to `port` of the pods with the label `app: NAME`."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": port}]},
    }
