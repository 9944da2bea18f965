"""The webhook behind a real API server, and real sidecars with what their pods were given."""

from __future__ import annotations

import base64
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any, Final

import pytest

from tests.operator.cluster import SYSTEM, Cluster, Operator, route
from tests.support.sidecar import Sidecar, free_ports
from tests.support.waiting import until
from wsroute_api import contract

pytestmark = pytest.mark.cluster

Json = dict[str, Any]

NAME: Final = "wsroute-webhook"
LEASE: Final = f"/apis/coordination.k8s.io/v1/namespaces/{SYSTEM}/leases"
CONFIGURATIONS: Final = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
ELSEWHERE: Final = {
    "holderIdentity": "a replica that does not push",
    "leaseDurationSeconds": 3600,
    "leaseTransitions": 1,
    "acquireTime": "2025-01-01T00:00:00.000000Z",
    "renewTime": "2025-01-01T00:00:00.000000Z",
}


@pytest.fixture(scope="module", autouse=True)
def operator(cluster: Cluster) -> Iterator[Operator]:
    """A replica that serves the webhook and does not lead: another one holds the Lease."""
    (port,) = free_ports(1)
    _install(cluster, port)
    flags = ("--sidecar-image=sidecar", f"--webhook-listen=127.0.0.1:{port}")
    with Operator(cluster.api, "operator-1", *flags) as running:
        running.ready()
        running.logged("signing_keys_loaded")
        running.logged("webhook_certificate_loaded")
        yield running
    cluster.api.delete(f"{CONFIGURATIONS}/{NAME}")
    cluster.api.delete(f"{LEASE}/wsroute-operator")


def _install(cluster: Cluster, port: int) -> None:
    """What the chart installs, but a Service that leads API servers to this machine."""
    cluster.api.kubectl("delete", "lease", "wsroute-operator", f"-n={SYSTEM}", "--ignore-not-found")
    cluster.api.post(LEASE, {"metadata": {"name": "wsroute-operator"}, "spec": ELSEWHERE})
    here = {"type": "ExternalName", "externalName": "localhost"}
    path = f"/api/v1/namespaces/{SYSTEM}/services"
    cluster.api.post(path, {"metadata": {"name": NAME}, "spec": here})
    called = {"namespace": SYSTEM, "name": NAME, "path": "/inject", "port": port}
    rule = {
        "apiGroups": [""],
        "apiVersions": ["v1"],
        "resources": ["pods"],
        "operations": ["CREATE"],
    }
    hook = {
        "name": "inject.wsroute.dev",
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "reinvocationPolicy": "IfNeeded",
        "objectSelector": {"matchLabels": {contract.INJECT_LABEL: "true"}},
        "clientConfig": {"service": called},
        "rules": [rule],
    }
    cluster.api.post(CONFIGURATIONS, {"metadata": {"name": NAME}, "webhooks": [hook]})


def create(cluster: Cluster, shop: str, name: str) -> Json:
    """A pod as its author writes it, and as the API server keeps it."""
    labels = {"app": "chat", contract.INJECT_LABEL: "true"}
    manifest = {
        "metadata": {"name": name, "labels": labels},
        "spec": {"containers": [{"name": "app", "image": "app"}]},
    }
    return cluster.api.post(f"/api/v1/namespaces/{shop}/pods", manifest)


def environment(pod: Json) -> dict[str, str]:
    """The environment of the pod's sidecar, as a kubelet makes it."""
    fields = {
        "metadata.namespace": pod["metadata"]["namespace"],
        "metadata.name": pod["metadata"]["name"],
        "metadata.uid": pod["metadata"]["uid"],
    } | {
        f"metadata.annotations['{name}']": value
        for name, value in pod["metadata"]["annotations"].items()
    }
    (sidecar,) = pod["spec"]["initContainers"]
    return {
        entry["name"]: entry["value"]
        if "value" in entry
        else fields.get(entry["valueFrom"]["fieldRef"]["fieldPath"], "")
        for entry in sidecar["env"]
    }


def status(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - the sidecar
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


@pytest.fixture
def pod(cluster: Cluster, shop: str) -> Json:
    """A pod of a route that all replicas know."""
    cluster.apply(shop, route("chat"))

    def admitted() -> Json | None:
        made = create(cluster, shop, "chat")
        token = made["metadata"]["annotations"].get(contract.BOOTSTRAP_ANNOTATION, "..")
        payload = token.split(".")[1]
        if b'"name":"chat"' in base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)):
            return made
        cluster.api.delete(f"/api/v1/namespaces/{shop}/pods/chat")
        return None

    made: Json = until(admitted, "a pod with the route in its first snapshot")
    return made


def test_a_sidecar_serves_before_any_leader_pushes(pod: Json) -> None:
    with Sidecar(env=environment(pod)) as sidecar:
        assert status(f"http://127.0.0.1:{sidecar.metrics}/readyz") == 200
        assert status(f"http://127.0.0.1:{sidecar.port}/") == 502, "a route, and no backend"
    assert environment(pod)["WSROUTE_NONCE"]


def test_another_pods_snapshot_is_not_taken(cluster: Cluster, shop: str, pod: Json) -> None:
    other = create(cluster, shop, "other")
    stolen = environment(other)[contract.ENV_BOOTSTRAP]
    with Sidecar(env=environment(pod) | {contract.ENV_BOOTSTRAP: stolen}) as sidecar:
        assert sidecar.logged("snapshot_refused")["why"] == "the snapshot is for another pod"
        assert status(f"http://127.0.0.1:{sidecar.metrics}/readyz") == 503


def test_the_first_push_takes_its_place(cluster: Cluster, shop: str, pod: Json) -> None:
    address = "127.78.0.1"
    flag = f"--push={address}:{contract.PUSH_PORT}"
    with Sidecar(None, flag, env=environment(pod)) as sidecar:
        assert status(f"http://127.0.0.1:{sidecar.port}/") == 502
        cluster.apply(shop, route("chat", path="/ws"))
        cluster.api.patch(f"{LEASE}/wsroute-operator", {"spec": {"holderIdentity": ""}})
        running = {"name": contract.CONTAINER, "image": "sidecar", "imageID": "", "ready": True,
                   "restartCount": 0, "started": True, "containerID": "containerd://1",
                   "state": {"running": {"startedAt": "2025-01-01T00:00:00Z"}}}  # fmt: skip
        report = {"phase": "Running", "podIP": address, "initContainerStatuses": [running]}
        cluster.api.patch(
            f"/api/v1/namespaces/{shop}/pods/chat/status",
            {"status": report | {"podIPs": [{"ip": address}]}},
        )
        cluster.ready(shop, "chat", generation=2)
        assert status(f"http://127.0.0.1:{sidecar.port}/") == 404, "no rule is for it any more"
