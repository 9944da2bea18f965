"""What gets past the sidecar shows on the route, with the rights that the chart grants."""

from __future__ import annotations

from tests.support.waiting import until

from .echo import APP, Echo
from .kube import apply, kubectl, kubectl_json, wait_for
from .objects import container, pod, rule, service
from .tunnels import LIMIT


def _says(namespace: str, kind: str) -> str:
    """The message of a condition of the route."""
    found = kubectl_json("get", "wsr", APP, f"--namespace={namespace}")
    messages = {c["type"]: c["message"] for c in found["status"]["conditions"]}
    return str(messages[kind])


def test_a_service_past_the_sidecar_and_a_pod_without_one_show_on_the_route(
    installed: str, namespace: str
) -> None:
    Echo.start(namespace).apply(APP, rule("/"))
    direct = service(APP, 8080)
    apply(namespace, direct | {"metadata": {"name": "direct"}})
    wait_for("Bypassed", namespace, f"wsr/{APP}")
    assert "Service direct leads clients to port 8080" in _says(namespace, "Ready")

    plain = pod("plain", container("app", "backends", "python", "/echo.py"))
    plain["metadata"]["labels"] = {"app": APP}
    apply(namespace, plain)
    wait_for("Ready", namespace, "pod/plain")
    kubectl("label", "pod/plain", "wsroute.dev/inject=true", f"--namespace={namespace}")
    wait_for("Programmed=false", namespace, f"wsr/{APP}")
    assert "1 of 2 pods" in _says(namespace, "Programmed")
    assert "plain: has no sidecar" in _says(namespace, "Programmed")

    def told() -> str:
        return kubectl("events", f"--namespace={namespace}", "--for=pod/plain")

    until(lambda: "InjectionSkipped" in told(), "an Event on the pod", LIMIT)
