"""The manifests of charts/examples/chat agree with each other and with the sidecar."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from wsroute_api import contract, durations, manifests

CHAT = Path(__file__).parents[2] / "charts/examples/chat"
DEFAULT_GRACE = 30  # seconds that Kubernetes gives a pod to end


def manifest(name: str) -> dict[str, Any]:
    return dict(yaml.safe_load((CHAT / name).read_text()))


@pytest.fixture
def pod() -> dict[str, Any]:
    return dict(manifest("deployment.yaml")["spec"]["template"])


def test_the_service_and_the_route_select_the_deployments_pods(pod: dict[str, Any]) -> None:
    labels = pod["metadata"]["labels"].items()
    route = manifest("route.yaml")
    assert manifest("service.yaml")["spec"]["selector"].items() <= labels
    assert route["spec"]["selector"]["matchLabels"].items() <= labels
    assert (contract.INJECT_LABEL, "true") in labels


def test_the_service_leads_to_the_sidecar_and_the_route_to_the_chat(pod: dict[str, Any]) -> None:
    (service_port,) = manifest("service.yaml")["spec"]["ports"]
    (chat,) = pod["spec"]["containers"]
    (route,) = manifests.parse((CHAT / "route.yaml").read_text())
    assert service_port["targetPort"] == contract.DATA_PORT
    assert {rule.backend.port for rule in route.spec.rules} == {chat["ports"][0]["containerPort"]}


def test_the_chat_outlives_its_drain_and_ends_within_the_grace_period(pod: dict[str, Any]) -> None:
    (chat,) = pod["spec"]["containers"]
    pause = chat["lifecycle"]["preStop"]["sleep"]["seconds"]
    drain = durations.parse(manifest("route.yaml")["spec"]["rules"][0]["drain"]["timeout"])
    assert drain < pause < DEFAULT_GRACE


def test_the_chat_asks_the_socket_that_the_sidecar_makes(pod: dict[str, Any]) -> None:
    (chat,) = pod["spec"]["containers"]
    assert {"name": "WSROUTE_CONTROL", "value": contract.CONTROL_SOCKET} in chat["env"]
    assert chat["volumeMounts"] == [
        {"name": contract.CONTAINER, "mountPath": contract.RUN_DIRECTORY, "readOnly": True}
    ]
    assert {"name": contract.CONTAINER, "emptyDir": {}} in pod["spec"]["volumes"]
