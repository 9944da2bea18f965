"""What `kubectl describe` tells a person, against a real API server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from tests.operator.cluster import Cluster, route
from tests.support.waiting import until
from wsroute_api import contract

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("operator")]

Json = dict[str, Any]


def service(name: str, port: int, target: int | str, **spec: Any) -> Json:
    """A Service to the pods with the label `app: chat`."""
    ports = [{"port": port, "targetPort": target}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": {"app": "chat"}, "ports": ports, **spec},
    }


def bare(cluster: Cluster, namespace: str, name: str, **labels: str) -> None:
    """A pod that runs without a sidecar; it has a controller, as most pods."""
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "set", "uid": "u1"}
    manifest = {
        "metadata": {
            "name": name,
            "labels": {"app": "chat"} | labels,
            "ownerReferences": [{**owner, "controller": True}],
        },
        "spec": {"containers": [{"name": "app", "image": "app"}]},
    }
    path = f"/api/v1/namespaces/{namespace}/pods"
    cluster.api.post(path, manifest)
    cluster.api.patch(f"{path}/{name}/status", {"status": {"phase": "Running"}})


ASKS = {contract.INJECT_LABEL: "true"}


def _fine(cluster: Cluster, shop: str) -> None:
    for number in range(3):
        cluster.pod(shop, f"chat-{number}")


def _bypassed(cluster: Cluster, shop: str) -> None:
    cluster.pod(shop, "chat")
    to_backend: dict[str, int | str] = {"direct": 8080, "by-name": "web", "sidecar": 9300}
    cluster.apply(
        shop,
        *(service(name, 80, target) for name, target in to_backend.items()),
        service("headless", 8080, 9300, clusterIP="None"),
    )


def _partly(cluster: Cluster, shop: str) -> None:
    _fine(cluster, shop)
    bare(cluster, shop, "bare-1", **ASKS)
    bare(cluster, shop, "bare-2", **ASKS)


def _refusing(cluster: Cluster, shop: str) -> None:
    cluster.pod(shop, "old").sidecar.answer = (422, {"error": "field keepalive is unknown"})


def _conflicting(cluster: Cluster, shop: str) -> None:
    cluster.pod(shop, "chat")
    cluster.apply(shop, route("a-first"))
    cluster.ready(shop, "a-first")


def _none(_: Cluster, __: str) -> None:
    pass


REGEX = route("chat", path="(")
REGEX["spec"]["rules"][0]["matches"][0]["path"]["type"] = "RegularExpression"


class Case(NamedTuple):
    """What is done to a namespace, and what its route `chat` then says and how many Events tell."""

    prepare: Callable[[Cluster, str], object]
    manifest: Json
    reason: str
    message: str
    events: int = 1


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(
            Case(_fine, route("chat"), "Ready", "3 of 3 pods serve generation 1.", events=0),
            id="fine",
        ),
        pytest.param(
            Case(
                _none,
                route("chat"),
                "NoMatchingPods",
                "has the label wsroute.dev/inject=true: compare both with the labels of the pods",
            ),
            id="no pods",
        ),
        pytest.param(
            Case(
                lambda cluster, shop: bare(cluster, shop, "unlabelled"),
                route("chat"),
                "NoMatchingPods",
                "kubectl get pods -n",
            ),
            id="unlabelled",
        ),
        pytest.param(
            Case(
                _partly,
                route("chat"),
                "PodsNotProgrammed",
                "3 of 5 pods serve generation 1. Failing: bare-1, bare-2: has no sidecar",
            ),
            id="3 of 5",
        ),
        pytest.param(
            Case(
                _refusing,
                route("chat"),
                "PodsNotProgrammed",
                "old: the sidecar refused its routes: field keepalive is unknown.",
            ),
            id="refused",
        ),
        pytest.param(
            Case(
                lambda cluster, shop: cluster.pod(shop, "chat"),
                route("chat", port="nope"),
                "BackendNotFound",
                "spec.rules[0].backend.port: no container port called 'nope' in pod chat: name",
            ),
            id="missing port",
        ),
        pytest.param(
            Case(_conflicting, route("chat"), "Conflicted", "gets them all: change or"),
            id="conflict",
        ),
        pytest.param(
            Case(
                _bypassed,
                route("chat"),
                "Ready",
                "But Services by-name, direct, headless lead clients to port 8080 of the pods",
            ),
            id="bypassed",
        ),
        pytest.param(
            Case(_none, REGEX, "UnsupportedValue", "'(' is not an RE2 expression"), id="regex"
        ),
    ],
)
def test_a_route_says_what_is_wrong_and_what_to_do(cluster: Cluster, shop: str, case: Case) -> None:
    case.prepare(cluster, shop)
    cluster.apply(shop, case.manifest)

    def ready() -> Json | None:
        found = cluster.condition(shop, "chat", "Ready")
        right = found.get("reason") == case.reason and case.message in found["message"]
        return found if right else None

    until(ready, f"{case.reason}: {case.message}")

    def described() -> str | None:
        shown = cluster.api.kubectl("describe", f"-n={shop}", "wsr/chat")
        return shown if told(shown) >= case.events else None

    def told(shown: str) -> int:
        return shown.partition("Events:")[2].count("Warning")

    shown = until(described, f"{case.events} Events")
    assert told(shown) == case.events, shown
    assert case.message in shown


def test_a_conflict_names_both_routes_on_the_loser(cluster: Cluster, shop: str) -> None:
    _conflicting(cluster, shop)
    cluster.apply(shop, route("b-second"))

    def message() -> str:
        return str(cluster.condition(shop, "b-second", "PartiallyInvalid").get("message", ""))

    until(lambda: f"of route {shop}/b-second matches" in message(), "the loser")
    assert f"of route {shop}/a-first, which goes first" in message()


def test_a_pod_without_a_sidecar_is_told_on_itself_and_on_its_owner(
    cluster: Cluster, shop: str
) -> None:
    bare(cluster, shop, "bare-1", **ASKS)
    bare(cluster, shop, "bare-2", **ASKS)
    cluster.pod(shop, "good")

    def told() -> list[list[str]]:
        lines = cluster.api.kubectl("events", f"-n={shop}", "--no-headers").splitlines()
        return sorted(line.split()[1:4] for line in lines)

    until(lambda: len(told()) == 4, "four Events")
    assert told() == [
        ["Normal", "Injected", "Pod/good"],
        ["Warning", "InjectionSkipped", "Pod/bare-1"],
        ["Warning", "InjectionSkipped", "Pod/bare-2"],
        ["Warning", "InjectionSkipped", "ReplicaSet/set"],
    ]


def test_a_service_that_is_mended_is_reported_no_more(cluster: Cluster, shop: str) -> None:
    cluster.pod(shop, "chat")
    cluster.apply(shop, route("chat"), service("s", 80, 8080))
    until(lambda: cluster.condition(shop, "chat", "Bypassed"), "the report")
    cluster.apply(shop, service("s", 80, 9300))
    until(lambda: not cluster.condition(shop, "chat", "Bypassed"), "its end")
    assert "But" not in cluster.condition(shop, "chat", "Ready")["message"]
