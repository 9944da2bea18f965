from __future__ import annotations

from typing import Any

import pytest

from tests.operator.build import RUNNING, pod, raw_pod, raw_route
from wsroute_api import contract
from wsroute_operator.objects import Pod, Sidecar, pod_from_object, route_from_raw

SIDECAR = {
    "name": "wsroute",
    "restartPolicy": "Always",
    "env": [{"name": contract.ENV_PUBLIC_KEYS, "value": "k1,k2"}],
    "ports": [{"name": "wsroute", "containerPort": 9300}],
}


def status(state: dict[str, Any], **more: Any) -> list[dict[str, Any]]:
    return [{"name": "wsroute", "state": state, "containerID": "containerd://1", **more}]


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        pytest.param(None, Sidecar(keys=("k1", "k2")), id="no status yet"),
        pytest.param(
            status({"running": {}}, started=True),
            Sidecar(keys=("k1", "k2"), container_id="containerd://1", started=True),
            id="started",
        ),
        pytest.param(
            status({"running": {}}, started=False),
            Sidecar(keys=("k1", "k2"), container_id="containerd://1"),
            id="runs, startup probe pending",
        ),
        pytest.param(
            status({"waiting": {"reason": "CrashLoopBackOff"}}),
            Sidecar(keys=("k1", "k2"), waiting="CrashLoopBackOff"),
            id="crash loop",
        ),
        pytest.param(
            status({"terminated": {"reason": "OOMKilled"}}),
            Sidecar(keys=("k1", "k2"), waiting="OOMKilled"),
            id="terminated",
        ),
    ],
)
def test_state_of_the_sidecar(statuses: list[dict[str, Any]] | None, expected: Sidecar) -> None:
    found = pod_from_object(raw_pod(init=[SIDECAR], initContainerStatuses=statuses))
    assert found.sidecar == expected


def test_a_container_of_the_same_name_that_is_no_init_container_is_no_sidecar() -> None:
    assert pod_from_object(raw_pod(containers=[SIDECAR])).sidecar is None


def test_named_ports_are_those_beside_the_sidecar() -> None:
    found = pod_from_object(
        raw_pod(
            containers=[
                {
                    "name": "app",
                    "ports": [
                        {"name": "web", "containerPort": 8080},
                        {"containerPort": 8081},
                        {"name": "dns", "containerPort": 53, "protocol": "UDP"},
                        {"name": "own", "containerPort": 9301},
                    ],
                }
            ],
            init=[
                SIDECAR,
                {
                    "name": "native",
                    "restartPolicy": "Always",
                    "ports": [{"name": "n", "containerPort": 1}],
                },
                {"name": "setup", "ports": [{"name": "gone", "containerPort": 2}]},
            ],
        )
    )
    assert found.ports == {"web": 8080, "n": 1}


def test_a_pod_of_which_little_is_known_is_read_all_the_same() -> None:
    found = pod_from_object({"metadata": {"uid": "u", "namespace": "s", "name": "p"}})
    assert found == Pod(uid="u", namespace="s", name="p", labels={})


@pytest.mark.parametrize(
    ("item", "live", "reachable", "counts"),
    [
        pytest.param(pod("p"), True, True, True, id="running"),
        pytest.param(pod("p", phase="Pending"), True, True, True, id="only the sidecar runs yet"),
        pytest.param(
            pod("p", phase="Pending", sidecar=Sidecar(keys=())), True, False, False, id="starting"
        ),
        pytest.param(pod("p", address=""), True, False, True, id="without an address"),
        pytest.param(pod("p", sidecar=None), True, False, True, id="without a sidecar"),
        pytest.param(pod("p", deleting=True), False, False, False, id="being deleted"),
        pytest.param(pod("p", phase="Succeeded"), False, False, False, id="finished"),
        pytest.param(pod("p", phase="Failed"), False, False, False, id="failed"),
    ],
)
def test_when_a_pod_is_pushed_to_and_counted(
    item: Pod, live: bool, reachable: bool, counts: bool
) -> None:
    assert (item.live, item.reachable, item.counts) == (live, reachable, counts)


def test_what_is_in_the_way_of_a_push_is_said_with_what_to_do() -> None:
    assert pod("p").obstacle is None
    assert "delete the pod" in (pod("p", sidecar=None).obstacle or "")
    crashing = Sidecar(keys=(), waiting="CrashLoopBackOff")
    assert "CrashLoopBackOff" in (pod("p", sidecar=crashing).obstacle or "")
    assert RUNNING.started


def test_a_good_route_has_no_mistakes() -> None:
    found = route_from_raw(raw_route("chat", generation=3))
    assert found.route is not None
    assert (found.key, found.generation, found.mistakes) == ("shop/chat", 3, ())


@pytest.mark.parametrize(
    ("spec", "where"),
    [
        pytest.param({"rules": []}, "spec.rules", id="no rules"),
        pytest.param(
            {"selector": {"matchLabels": {"a": "b"}}, "rules": [{"backend": {"port": 9300}}]},
            "spec.rules[0].backend.port: 9300 is the sidecar's own port",
            id="own port",
        ),
        pytest.param(
            {
                "selector": {"matchLabels": {"a": "b"}},
                "rules": [{"backend": {"port": 1}, "newer": True}],
            },
            "newer",
            id="field of a later version",
        ),
    ],
)
def test_mistakes_say_where_and_exclude_the_route(spec: dict[str, Any], where: str) -> None:
    found = route_from_raw(raw_route("chat", spec=spec))
    assert found.route is None
    assert where in "; ".join(found.mistakes)
