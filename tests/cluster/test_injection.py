"""Pods that ask for a sidecar, on a node with the chart installed."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.support.convergence import converges
from tests.support.waiting import until

from . import release
from .kube import apply, helm, kubectl, kubectl_json
from .node.shell import CommandError
from .objects import container, injected, pod

SIDECAR = "wsroute"
_WAIT = "import signal; signal.pause()"
_RESTRICTED: dict[str, Any] = {
    "securityContext": {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "runAsNonRoot": True,
        "runAsUser": 1000,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
}
_TAKEN = {"containerPort": 9301}

pytestmark = pytest.mark.usefixtures("installed")


def _labelled(name: str, program: str = _WAIT, **spec: Any) -> dict[str, Any]:
    """A pod that asks for a sidecar, and whose app runs `program`."""
    app = container("app", "examples", "python", "-c", program, **_RESTRICTED)
    return injected(pod(name, app, **spec))


def _ready(namespace: str, name: str) -> dict[str, Any]:
    kubectl("wait", "--for=condition=Ready", f"pod/{name}", f"--namespace={namespace}")
    found: dict[str, Any] = kubectl_json("get", "pod", name, f"--namespace={namespace}")
    return found


def _refusal(namespace: str, **spec: Any) -> str:
    with pytest.raises(CommandError) as refused:
        apply(namespace, _labelled("refused", **spec))
    return str(refused.value)


def test_helm_finds_the_webhook_in_order_and_leaves_no_pod_behind(installed: str) -> None:
    place = f"--namespace={installed}"
    assert "Phase:          Succeeded" in helm("test", "wsroute", place)
    test = "--selector=app.kubernetes.io/component=test"
    assert kubectl("get", "pods", place, test, "--output=name") == ""


def test_an_injected_pod_becomes_ready_in_a_restricted_namespace(namespace: str) -> None:
    level = "pod-security.kubernetes.io/enforce=restricted"
    kubectl("label", "namespace", namespace, level)
    apply(namespace, _labelled("p"))
    found = _ready(namespace, "p")
    (sidecar,) = found["spec"]["initContainers"]
    assert (sidecar["name"], sidecar["restartPolicy"]) == (SIDECAR, "Always")


def test_only_the_app_has_the_service_accounts_token(namespace: str) -> None:
    apply(namespace, _labelled("p"))
    spec = _ready(namespace, "p")["spec"]
    (sidecar,), (app,) = spec["initContainers"], spec["containers"]
    assert [mount["mountPath"] for mount in sidecar["volumeMounts"]] == ["/run/wsroute"]
    assert len(app["volumeMounts"]) == 1


def test_kubectl_logs_shows_the_app(namespace: str) -> None:
    apply(namespace, _labelled("p", f"print('of the app', flush=True); {_WAIT}"))
    _ready(namespace, "p")
    assert kubectl("logs", "p", f"--namespace={namespace}") == "of the app\n"


def test_a_job_with_a_sidecar_completes(namespace: str) -> None:
    template = _labelled("j", "print('done')", restartPolicy="Never")
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "j"},
        "spec": {"template": {key: template[key] for key in ("metadata", "spec")}},
    }
    apply(namespace, job)
    kubectl("wait", "--for=condition=Complete", "job/j", f"--namespace={namespace}")


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        pytest.param({"hostNetwork": True}, "remove hostNetwork", id="host network"),
        pytest.param(
            {"initContainers": [container(SIDECAR, "examples", "true")]},
            "container wsroute has the name of the sidecar: rename it",
            id="name of a container",
        ),
        pytest.param(
            {"initContainers": [container("i", "examples", "true", ports=[_TAKEN])]},
            "container i declares port 9301, but 9300 to 9302 are the sidecar's: use another",
            id="port of a container",
        ),
    ],
)
def test_a_pod_that_cannot_have_a_sidecar_is_refused(
    namespace: str, spec: dict[str, Any], reason: str
) -> None:
    assert reason in _refusal(namespace, **spec)


def _annotated(name: str, **annotations: str) -> dict[str, Any]:
    """A pod with annotations of this project's group."""
    made = _labelled(name)
    named = {f"wsroute.dev/{key.replace('_', '-')}": value for key, value in annotations.items()}
    return made | {"metadata": made["metadata"] | {"annotations": named}}


def test_annotations_tune_the_sidecar_by_values_of_their_types(namespace: str) -> None:
    apply(namespace, _annotated("p", memory_request="80Mi", cpu_limit="1.5", log_level="debug"))
    (sidecar,) = _ready(namespace, "p")["spec"]["initContainers"]
    assert sidecar["resources"]["requests"]["memory"] == "80Mi"
    assert sidecar["resources"]["limits"]["cpu"] == "1500m"
    assert {"name": "WSROUTE_LOG_LEVEL", "value": "debug"} in sidecar["env"]


@pytest.mark.parametrize(
    ("annotation", "value", "reason"),
    [
        ("memory_request", "much", "is 'much': make it a quantity like 64Mi"),
        ("log_level", "loud", "is 'loud': make it debug, info, warning, error"),
        ("image", "another:1", "annotation wsroute.dev/image is unknown"),
    ],
)
def test_an_annotation_of_another_type_is_refused(
    namespace: str, annotation: str, value: str, reason: str
) -> None:
    with pytest.raises(CommandError, match=reason):
        apply(namespace, _annotated("refused", **{annotation: value}))


def test_only_pods_that_ask_for_a_sidecar_wait_while_there_is_no_operator(
    installed: str, namespace: str
) -> None:
    template = _labelled("d")
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "d"},
        "spec": {
            "selector": {"matchLabels": {"app": "d"}},
            "template": {key: template[key] for key in ("metadata", "spec")},
        },
    }
    with release.no_operator():
        plain = pod("plain", container("app", "examples", "python", "-c", _WAIT))
        apply(namespace, deployment, plain)
        _ready(namespace, "plain")
        until(
            lambda: "failed calling webhook" in kubectl("events", f"--namespace={namespace}"),
            "an event that says why there is no pod",
            20,
        )
    kubectl("rollout", "status", "deployment/d", f"--namespace={namespace}")


def test_pods_are_created_while_the_operator_is_replaced(installed: str, namespace: str) -> None:
    deployment = ("deployment/wsroute-operator", f"--namespace={installed}")
    with _pods_being_created(namespace) as outcomes:
        kubectl("rollout", "restart", *deployment)
        kubectl("rollout", "status", *deployment)
    assert set(outcomes) == {"created"}


def test_pods_are_created_while_the_webhook_gets_new_certificates(
    installed: str, namespace: str
) -> None:
    place = ("--selector=app.kubernetes.io/component=operator", f"--namespace={installed}")

    def loaded() -> list[int]:
        """How many certificates each replica has loaded, once there are two replicas."""
        pods = kubectl("get", "pods", "--output=name", *place).split()
        logs = [kubectl("logs", name, place[1]) for name in pods] if len(pods) == 2 else []
        return [log.count("webhook_certificate_loaded") for log in logs]

    until(loaded, "the end of replicas of earlier tests", 60)
    before = loaded()
    with _pods_being_created(namespace) as outcomes:
        kubectl("delete", "secret", "wsroute-webhook", place[1])
        with converges("the webhook's certificates were replaced", within=60):
            until(
                lambda: all(new > old for new, old in zip(loaded(), before, strict=True)),
                "both replicas with a new certificate",
                60,
            )
    assert set(outcomes) == {"created"}


def _try(namespace: str, made: dict[str, Any]) -> None:
    """Have the API server admit a pod without keeping it."""
    arguments = (f"--namespace={namespace}", "--filename=-", "--dry-run=server")
    kubectl("create", *arguments, stdin=json.dumps(made))


@contextmanager
def _pods_being_created(namespace: str) -> Iterator[list[str]]:
    """Ask for pods all the time, one after the other, and note what came of each."""
    outcomes: list[str] = []
    stop = threading.Event()

    def create() -> None:
        while not stop.is_set():
            try:
                _try(namespace, _labelled(f"p{len(outcomes)}"))
                outcomes.append("created")
            except CommandError as error:
                outcomes.append(str(error))

    creating = threading.Thread(target=create)
    creating.start()
    try:
        yield outcomes
    finally:
        stop.set()
        creating.join()
