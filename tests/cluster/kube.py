"""kubectl and helm, talking to the test node."""

from __future__ import annotations

import json
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from tests.support.waiting import until

from .node.clients import CTR, HELM, KUBECTL
from .node.shell import CommandError, run


def kubectl(*arguments: str, stdin: str | None = None, timeout: float = 180) -> str:
    """Run kubectl and return what it prints; raise `CommandError` when it fails.

    Args:
        arguments: What follows `kubectl`.
        stdin: Text for its standard input.
        timeout: Seconds until it is killed.
    """
    return run(*KUBECTL, *arguments, stdin=stdin, timeout=timeout)


def kubectl_json(*arguments: str) -> Any:
    """What kubectl prints with `--output=json`, parsed."""
    return json.loads(kubectl(*arguments, "--output=json"))


def apply(namespace: str, *objects: dict[str, Any]) -> None:
    """Apply objects in a namespace."""
    together = {"apiVersion": "v1", "kind": "List", "items": objects}
    kubectl("apply", f"--namespace={namespace}", "--filename=-", stdin=json.dumps(together))


@contextmanager
def temporary_namespace(*labels: str) -> Iterator[str]:
    """A namespace with a random name, in which pods can be made; labels are KEY=VALUE."""
    name = f"test-{secrets.token_hex(4)}"
    kubectl("create", "namespace", name)
    if labels:
        kubectl("label", "namespace", name, *labels)
    kubectl("wait", "--for=create", "serviceaccount/default", f"--namespace={name}")
    try:
        yield name
    finally:
        kubectl("delete", "namespace", name, "--wait=false")


def wait_for(condition: str, namespace: str, *objects: str, seconds: float = 60) -> None:
    """Wait until the objects, such as pod/web, have a condition for their present generation."""
    limit = f"--timeout={seconds}s"
    kubectl("wait", f"--for=condition={condition}", f"--namespace={namespace}", limit, *objects)


def service_address(namespace: str, name: str, seconds: float = 20) -> str:
    """A Service's IP address, once it takes connections: its endpoints follow readiness."""
    spec = kubectl_json("get", "service", name, f"--namespace={namespace}")["spec"]
    address = spec["clusterIP"], spec["ports"][0]["port"]
    until(lambda: _accepts(address), f"connections to the Service {name}", seconds)
    return str(address[0])


def kill_container(status: dict[str, Any]) -> None:
    """Kill a container's process; `status` is what its pod's says of it."""
    run(*CTR, "tasks", "kill", "--signal=SIGKILL", status["containerID"].partition("//")[2])


def _accepts(address: tuple[str, int]) -> bool:
    with suppress(OSError), socket.create_connection(address, timeout=1):
        return True
    return False


def helm(*arguments: str, timeout: float = 300) -> str:
    """Run helm and return what it prints; raise `CommandError` when it fails."""
    return run(*HELM, *arguments, timeout=timeout)


def describe(namespace: str) -> str:
    """What a person would look at first when something in a namespace does not work."""
    place = f"--namespace={namespace}"
    pods = kubectl("get", "pods", "--output=name", place).split()
    questions = [
        ("get", "all", place, "--output=wide"),
        ("events", place),
        *(("logs", pod, place, "--all-containers", "--prefix", "--tail=30") for pod in pods),
    ]
    return "\n".join(_answer(*question) for question in questions)


def _answer(*question: str) -> str:
    try:
        return kubectl(*question)
    except CommandError as error:
        return str(error)
