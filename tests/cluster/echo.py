"""An echo server in a pod, behind a Service that leads through the pod's sidecar."""

from __future__ import annotations

import json
import urllib.request
from dataclasses import dataclass, replace
from typing import Any, Self

from wsroute_api.contract import DATA_PORT

from . import objects
from .kube import apply, kubectl, kubectl_json, service_address, wait_for

APP = "echo"


@dataclass(frozen=True)
class Echo:
    """Where it runs, and the address of its Service. It has no route of its own."""

    namespace: str
    address: str

    @classmethod
    def start(cls, namespace: str, *, container: dict[str, Any] | None = None, **spec: Any) -> Self:
        """Start it in a namespace, and wait until it is ready.

        `container` has more fields of the server's container, `spec` of its pod.
        """
        server = objects.container(
            APP, "backends", "python", "/echo.py",
            ports=[{"name": "http", "containerPort": 8080}],
            readinessProbe={"tcpSocket": {"port": 8080}, "periodSeconds": 1},
            **(container or {}),
        )  # fmt: skip
        pod = objects.injected(objects.pod(APP, server, **spec))
        apply(namespace, pod, objects.service(APP, DATA_PORT))
        wait_for("Ready", namespace, f"pod/{APP}")
        return cls(namespace, service_address(namespace, APP))

    def apply(self, name: str, *rules: dict[str, Any]) -> None:
        """Apply a route to it, and wait until it is served as it is now."""
        apply(self.namespace, objects.route(name, *rules, app=APP))
        wait_for("Programmed", self.namespace, f"wsr/{name}")

    def delete(self, *names: str) -> None:
        """Delete routes."""
        kubectl("delete", "wsr", *names, f"--namespace={self.namespace}")

    def past_the_service(self) -> Self:
        """The same server at its pod's own address, which no readiness keeps out of reach."""
        return replace(self, address=f"{self.pod()['status']['podIP']}:{DATA_PORT}")

    def pod(self) -> dict[str, Any]:
        """Its pod, as it is now."""
        found: dict[str, Any] = kubectl_json("get", "pod", APP, f"--namespace={self.namespace}")
        return found

    def url(self, path: str) -> str:
        """The address of a WebSocket."""
        return f"ws://{self.address}{path}"

    def get(self, path: str) -> dict[str, Any]:
        """What the server saw of a plain request: its target and its headers."""
        with urllib.request.urlopen(f"http://{self.address}{path}", timeout=10) as answer:
            seen: dict[str, Any] = json.load(answer)
        return seen
