"""The operator as a process, with the rights that it asks for, against a real API server."""

from __future__ import annotations

import statistics
import time
import urllib.error

import pytest

from tests.operator.cluster import SYSTEM, Cluster, Operator, route
from tests.support.waiting import until
from wsroute_api import contract

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("operator")]


def test_a_route_reaches_its_pods_and_kubectl_shows_it(cluster: Cluster, shop: str) -> None:
    pods = [cluster.pod(shop, f"chat-{n}") for n in range(3)]
    other = cluster.pod(shop, "other", app="other")
    cluster.apply(shop, route("chat"))
    cluster.api.kubectl("wait", f"-n={shop}", "--for=condition=Ready", "wsr/chat", "--timeout=20s")
    assert [pod.sidecar.routes for pod in pods] == [{f"{shop}/chat": 1}] * 3
    assert other.sidecar.routes == {}
    until(lambda: other.sidecar.table is not None, "an empty table for the pod without routes")
    assert cluster.api.kubectl("get", "wsr", f"-n={shop}", "--no-headers").split()[:3] == [
        "chat", "True", "3/3",
    ]  # fmt: skip


def test_a_change_and_a_deletion_reach_the_pods(cluster: Cluster, shop: str) -> None:
    pod = cluster.pod(shop, "chat")
    cluster.apply(shop, route("chat"))
    cluster.ready(shop, "chat")
    cluster.apply(shop, route("chat", path="/ws"))
    cluster.ready(shop, "chat", generation=2)
    assert pod.sidecar.routes == {f"{shop}/chat": 2}
    cluster.api.kubectl("delete", f"-n={shop}", "wsr/chat")
    until(lambda: pod.sidecar.routes == {}, "the route gone")


def test_a_pod_that_comes_later_gets_the_route(cluster: Cluster, shop: str) -> None:
    cluster.apply(shop, route("chat"))
    ready = until(lambda: cluster.condition(shop, "chat", "Ready"), "a status")
    assert ready["reason"] == "NoMatchingPods"
    pod = cluster.pod(shop, "chat")
    cluster.ready(shop, "chat")
    assert pod.sidecar.routes == {f"{shop}/chat": 1}


def test_an_edit_that_reaches_no_pod_is_observed_all_the_same(cluster: Cluster, shop: str) -> None:
    cluster.apply(shop, route("chat"))
    until(lambda: cluster.status(shop, "chat").get("observedGeneration") == 1, "a status")
    cluster.apply(shop, route("chat", path="/ws"))
    until(lambda: cluster.status(shop, "chat").get("observedGeneration") == 2, "the next")


def test_a_mistake_is_told_where_it_is_and_harms_no_other_route(
    cluster: Cluster, shop: str
) -> None:
    pod = cluster.pod(shop, "chat")
    broken = route("broken", path="(")
    broken["spec"]["rules"][0]["matches"][0]["path"]["type"] = "RegularExpression"
    cluster.apply(shop, broken, route("good"))
    cluster.ready(shop, "good")
    accepted = until(lambda: cluster.condition(shop, "broken", "Accepted"), "a status")
    assert accepted["status"] == "False"
    assert accepted["message"].startswith("spec.rules[0].matches[0].path.value: '(' is not an RE2")
    assert pod.sidecar.routes == {f"{shop}/good": 1}
    shown = until(lambda: cluster.api.kubectl("events", f"-n={shop}", "--for=wsr/broken"), "Event")
    assert "UnsupportedValue" in shown


def test_a_conflict_names_both_routes(cluster: Cluster, shop: str) -> None:
    cluster.pod(shop, "chat")
    cluster.apply(shop, route("a", path="/ws"))
    cluster.ready(shop, "a")
    cluster.apply(shop, route("b", path="/ws/"))
    ready = until(
        lambda: (c := cluster.condition(shop, "b", "Ready")) and c["reason"] == "Conflicted" and c,
        "the conflict on the loser",
    )
    assert f"{shop}/a" in ready["message"]
    assert cluster.condition(shop, "a", "Ready")["status"] == "True"


def test_a_restarted_sidecar_gets_its_table_again(cluster: Cluster, shop: str) -> None:
    pod = cluster.pod(shop, "chat")
    cluster.apply(shop, route("chat"))
    cluster.ready(shop, "chat")
    pod.restart_sidecar()
    until(lambda: pod.sidecar.routes, "the table in the new container")


def test_a_pod_without_a_sidecar_shows_on_the_route(cluster: Cluster, shop: str) -> None:
    cluster.apply(shop, route("chat"))
    manifest = {
        "metadata": {"name": "bare", "labels": {"app": "chat", contract.INJECT_LABEL: "true"}},
        "spec": {"containers": [{"name": "app", "image": "app"}]},
    }
    path = f"/api/v1/namespaces/{shop}/pods"
    cluster.api.post(path, manifest)
    cluster.api.patch(f"{path}/bare/status", {"status": {"phase": "Running"}})
    until(
        lambda: (
            "has no sidecar" in cluster.condition(shop, "chat", "Programmed").get("message", "")
        ),
        "the pod named",
    )


def test_nothing_is_written_to_users_objects(cluster: Cluster, shop: str) -> None:
    pod = cluster.pod(shop, "chat")
    cluster.apply(shop, route("chat"))
    cluster.ready(shop, "chat")
    path = f"/apis/{contract.API_VERSION}/namespaces/{shop}/{contract.PLURAL}/chat"
    written = {
        (entry["manager"], entry.get("subresource"))
        for entry in cluster.api.get(path)["metadata"]["managedFields"]
    }
    assert written == {("kubectl-client-side-apply", None), ("wsroute", "status")}
    found = cluster.api.get(pod.path)["metadata"]
    assert "finalizers" not in found
    assert "annotations" not in found


def test_a_status_that_says_all_is_left_alone(cluster: Cluster, shop: str) -> None:
    pod = cluster.pod(shop, "chat")
    cluster.apply(shop, route("chat"))
    cluster.ready(shop, "chat")
    path = f"/apis/{contract.API_VERSION}/namespaces/{shop}/{contract.PLURAL}/chat"
    before = cluster.api.get(path)["metadata"]["resourceVersion"]
    pod.report({"message": "nothing that matters"})
    time.sleep(1.5)
    assert cluster.api.get(path)["metadata"]["resourceVersion"] == before


def test_it_answers_for_its_health_and_counts(operator: Operator) -> None:
    assert operator.http("/healthz") == (200, "ok\n")
    assert operator.http("/readyz")[0] == 200
    status, text = operator.http("/metrics")
    assert status == 200
    assert "wsroute_operator_leader 1.0" in text
    assert 'wsroute_operator_pushes_total{outcome="held"}' in text


def test_it_has_no_right_to_what_it_does_not_need(cluster: Cluster) -> None:
    for verb, what in (("get", "secrets"), ("update", "pods"), ("patch", "wsr"), ("get", "nodes")):
        with pytest.raises(AssertionError):
            cluster.api.kubectl("auth", "can-i", verb, what, "--as=operator", "-A")


def test_from_apply_to_programmed_takes_less_than_a_second(
    cluster: Cluster, shop: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pods = [cluster.pod(shop, f"chat-{n}") for n in range(3)]
    seconds = []
    for number in range(20):
        manifest = route(f"r{number}", path=f"/{number}")
        path = f"/apis/{contract.API_VERSION}/namespaces/{shop}/{contract.PLURAL}"
        begun = time.monotonic()
        cluster.api.post(path, manifest)
        cluster.ready(shop, manifest["metadata"]["name"])
        seconds.append(time.monotonic() - begun)
    assert all(len(pod.sidecar.routes) == 20 for pod in pods)
    with capsys.disabled():
        print(
            f"\nfrom apply to Programmed: median {statistics.median(seconds) * 1000:.0f} ms, "
            f"worst {max(seconds) * 1000:.0f} ms"
        )
    assert statistics.median(seconds) < 1.0


def test_the_lease_and_the_keys_are_in_its_own_namespace(cluster: Cluster) -> None:
    lease = cluster.api.get(
        f"/apis/coordination.k8s.io/v1/namespaces/{SYSTEM}/leases/wsroute-operator"
    )
    assert lease["spec"]["holderIdentity"].startswith("operator-1_")
    assert cluster.keys()
    with pytest.raises(urllib.error.HTTPError):
        cluster.api.get("/api/v1/namespaces/default/secrets/wsroute-signing-keys")
