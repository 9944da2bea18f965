from __future__ import annotations

from typing import Any

import pytest

from tests.operator.build import changed, pod, route
from wsroute_operator.objects import Json, Pod, RouteObject
from wsroute_operator.plan import plan
from wsroute_operator.services import Service, service_from_object

PODS = [pod("p"), pod("q", ports={"web": 3000})]


def service(name: str, *ports: Json, **spec: Any) -> Service:
    """A Service to the pods with the label `app: chat`, unless `spec` says otherwise."""
    usual = {"selector": {"app": "chat"}, "ports": list(ports)}
    metadata = {"uid": f"uid-{name}", "namespace": "shop", "name": name}
    return service_from_object({"metadata": metadata, "spec": usual | spec})


def past(item: RouteObject, *services: Service, pods: list[Pod] = PODS) -> list[str]:
    """The ports of the pods to which clients get past the sidecar."""
    planned = plan("shop", [item], pods, services)
    return [s.split("port ")[1].split()[0] for s in planned.verdicts[item.uid].bypassed]


BY_NUMBER, BY_NAME = route("r", port=8080), route("r", port="web")


@pytest.mark.parametrize(
    ("item", "found", "expected"),
    [
        pytest.param(BY_NUMBER, service("s", {"port": 80, "targetPort": 9300}), [], id="sidecar"),
        pytest.param(
            BY_NUMBER, service("s", {"port": 80, "targetPort": 8080}), ["8080"], id="number"
        ),
        pytest.param(BY_NUMBER, service("s", {"port": 8080}), ["8080"], id="no target port"),
        pytest.param(
            BY_NAME, service("s", {"port": 80, "targetPort": "web"}), ["3000", "8080"], id="name"
        ),
        pytest.param(
            BY_NUMBER, service("s", {"port": 80, "targetPort": "web"}), ["8080"], id="name of it"
        ),
        pytest.param(
            BY_NAME, service("s", {"port": 80, "targetPort": 3000}), ["3000"], id="number of it"
        ),
        pytest.param(
            BY_NUMBER, service("s", {"port": 80, "targetPort": "none"}), [], id="no such name"
        ),
        pytest.param(
            BY_NUMBER, service("s", {"port": 80, "targetPort": 9000}), [], id="another port"
        ),
        pytest.param(
            BY_NUMBER, service("s", {"port": 8080, "protocol": "UDP"}), [], id="not over TCP"
        ),
        pytest.param(
            BY_NUMBER, service("s", {"port": 8080}, selector={"app": "x"}), [], id="other pods"
        ),
        pytest.param(
            BY_NUMBER, service("s", {"port": 8080}, selector=None), [], id="no pods of its own"
        ),
        pytest.param(
            BY_NUMBER,
            service("s", {"port": 8080, "targetPort": 9300}, clusterIP="None"),
            ["8080"],
            id="headless, by its port",
        ),
        pytest.param(
            BY_NUMBER,
            service("s", {"port": 80, "targetPort": 8080}, clusterIP="None"),
            ["8080"],
            id="headless, by its target port",
        ),
        pytest.param(
            BY_NUMBER,
            service("s", {"port": 9300, "targetPort": 9300}, clusterIP="None"),
            [],
            id="headless, to the sidecar",
        ),
        pytest.param(BY_NUMBER, service("s", clusterIP="None"), [], id="headless, no ports"),
        pytest.param(
            route("r", spec={"rules": "nonsense"}), service("s", {"port": 8080}), [], id="mistake"
        ),
    ],
)
def test_a_service_that_leads_to_a_backend_is_found(
    item: RouteObject, found: Service, expected: list[str]
) -> None:
    assert past(item, found) == expected


def test_one_pod_is_enough() -> None:
    other = changed(PODS[0], uid="uid-o", name="o", labels={"app": "chat", "track": "canary"})
    canary = service("s", {"port": 8080}, selector={"track": "canary"})
    assert past(BY_NUMBER, canary, pods=[*PODS, other]) == ["8080"]
    assert past(BY_NUMBER, canary) == []


def test_the_sentence_names_ten_services_and_says_what_to_do() -> None:
    many = [service(f"s{n:02}", {"port": 8080}) for n in range(12)]
    (sentence,) = plan("shop", [BY_NUMBER], PODS, many).verdicts["uid-r"].bypassed
    assert sentence.startswith("Services s00, s01,")
    assert "s09 and 2 more lead clients to port 8080 of the pods, past the sidecar" in sentence
    assert "make 9300 the targetPort" in sentence
