from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from wsroute_operator import inject
from wsroute_operator.container import Resources, Sidecar

Json = dict[str, Any]

SIDECAR = Sidecar(
    image="example.com/wsroute/sidecar:1",
    pull_policy="IfNotPresent",
    log_level="info",
    trusted_proxies="10.0.0.0/8",
    resources=Resources(
        requests={"cpu": "10m", "memory": "64Mi"}, limits={"cpu": 1, "memory": "256Mi"}
    ),
)
KEYS = ["key-one", "key-two"]
TOKEN_MOUNT = {
    "name": "kube-api-access-x7k2p",
    "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
    "readOnly": True,
}


def pod(metadata: Json | None = None, **spec: Any) -> Json:
    """A pod as an API server sends it, with the label that asks for a sidecar."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"labels": {"wsroute.dev/inject": "true"}, **(metadata or {})},
        "spec": {"containers": [{"name": "app", "image": "app:1"}], **spec},
    }


def unsigned(_: str) -> str | None:
    """No first snapshot."""
    return None


def patch(
    given: Json,
    nonce: str = "n1",
    sign: Callable[[str], str | None] = unsigned,
    keys: Sequence[str] = KEYS,
) -> list[Json]:
    return inject.patch(given, SIDECAR, keys, nonce=nonce, sign=sign)


def injected(given: Json, nonce: str = "n1", sign: Callable[[str], str | None] = unsigned) -> Json:
    """`given` after its patch, applied as RFC 6902 says: `add` sets a member of an object."""
    result = copy.deepcopy(given)
    for operation in patch(given, nonce, sign):
        assert operation["op"] == "add"
        _, parent, member = operation["path"].split("/")
        result[parent][member] = operation["value"]
    return result


def sidecar_of(given: Json) -> Json:
    (found,) = [c for c in given["spec"]["initContainers"] if c["name"] == "wsroute"]
    return dict(found)


def test_a_labelled_pod_gets_a_native_sidecar_in_front_of_its_init_containers() -> None:
    migrate = {"name": "migrate", "image": "app:1"}
    result = injected(pod(initContainers=[migrate]))
    first, second = result["spec"]["initContainers"]
    assert (first["name"], first["restartPolicy"]) == ("wsroute", "Always")
    assert first["image"] == "example.com/wsroute/sidecar:1"
    assert second == migrate


def test_the_sidecar_learns_who_it_is_and_whom_to_trust() -> None:
    env = {entry["name"]: entry for entry in sidecar_of(injected(pod()))["env"]}
    fields = {
        name: entry["valueFrom"]["fieldRef"]["fieldPath"]
        for name, entry in env.items()
        if "valueFrom" in entry
    }
    assert fields == {
        "WSROUTE_NAMESPACE": "metadata.namespace",
        "WSROUTE_POD_NAME": "metadata.name",
        "WSROUTE_POD_UID": "metadata.uid",
        "WSROUTE_BOOTSTRAP": "metadata.annotations['wsroute.dev/bootstrap']",
    }
    assert env["WSROUTE_PUBLIC_KEYS"]["value"] == "key-one,key-two"
    assert env["WSROUTE_LOG_LEVEL"]["value"] == "info"
    assert env["WSROUTE_TRUSTED_PROXIES"]["value"] == "10.0.0.0/8"


def test_the_sidecar_meets_the_restricted_pod_security_level_by_itself() -> None:
    context = sidecar_of(injected(pod()))["securityContext"]
    assert context["allowPrivilegeEscalation"] is False
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert context["runAsNonRoot"] is True
    assert context["runAsUser"] > 0
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert context["readOnlyRootFilesystem"] is True


def test_the_app_waits_for_the_process_and_the_service_for_routes() -> None:
    sidecar = sidecar_of(injected(pod()))
    paths = {
        probe: (sidecar[probe]["httpGet"]["path"], sidecar[probe]["httpGet"]["port"])
        for probe in ("startupProbe", "livenessProbe", "readinessProbe")
    }
    assert paths == {
        "startupProbe": ("/healthz", 9302),
        "livenessProbe": ("/healthz", 9302),
        "readinessProbe": ("/readyz", 9302),
    }
    assert sidecar["lifecycle"]["preStop"]["exec"]["command"] == [
        "wsroute-sidecar",
        "drain",
        "--accept=5",
    ]
    assert [(p["name"], p["containerPort"]) for p in sidecar["ports"]] == [
        ("wsroute", 9300),
        ("wsroute-push", 9301),
        ("wsroute-health", 9302),
    ]


def test_kubectl_shows_the_app_unless_the_pod_says_otherwise() -> None:
    name = "kubectl.kubernetes.io/default-container"
    assert injected(pod())["metadata"]["annotations"][name] == "app"
    chosen = injected(pod({"annotations": {name: "other"}}))
    assert chosen["metadata"]["annotations"][name] == "other"


def test_annotations_tune_resources_and_log_level() -> None:
    wishes = {
        "wsroute.dev/memory-request": "128Mi",
        "wsroute.dev/cpu-limit": "1.5",
        "wsroute.dev/log-level": "debug",
    }
    sidecar = sidecar_of(injected(pod({"annotations": wishes})))
    assert sidecar["resources"] == {
        "requests": {"cpu": "10m", "memory": "128Mi"},
        "limits": {"cpu": "1.5", "memory": "256Mi"},
    }
    assert {"name": "WSROUTE_LOG_LEVEL", "value": "debug"} in sidecar["env"]


@pytest.mark.parametrize("volume", [{"emptyDir": {}}, {"emptyDir": {"medium": "Memory"}}])
def test_an_emptydir_of_the_sidecars_name_is_shared(volume: Json) -> None:
    declared = {"name": "wsroute", **volume}
    result = injected(pod(volumes=[declared]))
    assert result["spec"]["volumes"] == [declared]


def test_a_volume_is_added_beside_the_pods_own() -> None:
    data = {"name": "data", "persistentVolumeClaim": {"claimName": "data"}}
    result = injected(pod(volumes=[data]))
    assert result["spec"]["volumes"] == [data, {"name": "wsroute", "emptyDir": {}}]
    assert sidecar_of(result)["volumeMounts"] == [{"name": "wsroute", "mountPath": "/run/wsroute"}]


def test_all_else_in_the_pod_stays_as_it_is() -> None:
    given = pod({"name": "p", "annotations": {"a": "b"}}, newerThanThis={"field": [1]})
    before = copy.deepcopy(given)
    result = injected(given)
    assert given == before
    for member in ("initContainers", "volumes"):
        del result["spec"][member]
    result["metadata"]["annotations"] = {"a": "b"}
    assert result == before


@pytest.mark.parametrize(
    "labels",
    [
        pytest.param(None, id="no labels"),
        pytest.param({"app": "chat"}, id="another label"),
        pytest.param({"wsroute.dev/inject": "false"}, id="false"),
        pytest.param({"wsroute.dev/inject": "True"}, id="another case"),
    ],
)
def test_a_pod_that_does_not_ask_is_left_alone(labels: Json | None) -> None:
    given = pod({"labels": labels}, hostNetwork=True)
    assert patch(given) == []


@pytest.mark.parametrize(
    ("given", "message"),
    [
        pytest.param(
            pod(hostNetwork=True),
            "a pod with hostNetwork would take the ports 9300 to 9302 of its node: "
            "remove hostNetwork, or the label wsroute.dev/inject",
            id="host network",
        ),
        pytest.param(
            pod(containers=[{"name": "app", "ports": [{"containerPort": 9301}]}]),
            "container app declares port 9301, but 9300 to 9302 are the sidecar's: use another",
            id="port of an app",
        ),
        pytest.param(
            pod(initContainers=[{"name": "wait", "ports": [{"containerPort": 9300}]}]),
            "container wait declares port 9300, but 9300 to 9302 are the sidecar's: use another",
            id="port of an init container",
        ),
        pytest.param(
            pod(
                containers=[{"name": "app", "ports": [{"name": "wsroute", "containerPort": 8080}]}]
            ),
            "container app has a port called wsroute, as the sidecar has: rename it",
            id="name of a port",
        ),
        pytest.param(
            pod(containers=[{"name": "wsroute"}]),
            "container wsroute has the name of the sidecar: rename it",
            id="name of a container",
        ),
        pytest.param(
            pod(initContainers=[{"name": "wsroute"}]),
            "container wsroute has the name of the sidecar: rename it",
            id="name of an ordinary init container",
        ),
        pytest.param(
            pod(volumes=[{"name": "wsroute", "hostPath": {"path": "/"}}]),
            "volume wsroute is no emptyDir, and the sidecar needs that name: rename it",
            id="volume of another kind",
        ),
        pytest.param(
            pod(os={"name": "windows"}),
            "the sidecar runs on Linux only: remove the label wsroute.dev/inject",
            id="windows",
        ),
        pytest.param(
            pod({"annotations": {"kubernetes.io/config.mirror": "x"}}),
            "a static pod cannot be injected: remove the label wsroute.dev/inject",
            id="static pod",
        ),
        pytest.param(
            pod({"annotations": {"wsroute.dev/image": "evil:1"}}),
            "annotation wsroute.dev/image is unknown: there are wsroute.dev/log-level, "
            "wsroute.dev/cpu-request, wsroute.dev/cpu-limit, "
            "wsroute.dev/memory-request, wsroute.dev/memory-limit",
            id="annotation",
        ),
        pytest.param(
            pod(os={"name": "windows"}, containers=[{"name": "wsroute"}]),
            "the sidecar runs on Linux only: remove the label wsroute.dev/inject; "
            "container wsroute has the name of the sidecar: rename it",
            id="two problems at once",
        ),
    ],
)
def test_a_pod_that_could_not_work_is_refused_with_what_to_do(given: Json, message: str) -> None:
    with pytest.raises(inject.RefusedError) as refusal:
        patch(given)
    assert str(refusal.value) == message


@pytest.mark.parametrize(
    "port",
    [
        pytest.param({"containerPort": 9301, "protocol": "UDP"}, id="another protocol"),
        pytest.param({"containerPort": 9303}, id="the port behind"),
        pytest.param({"containerPort": 9299}, id="the port before"),
    ],
)
def test_a_port_beside_the_sidecars_is_no_clash(port: Json) -> None:
    assert sidecar_of(injected(pod(containers=[{"name": "app", "ports": [port]}])))


def test_a_second_pass_finds_nothing_to_do() -> None:
    assert patch(injected(pod())) == []


def test_the_order_of_keys_makes_no_difference() -> None:
    assert patch(injected(pod()), keys=KEYS[::-1]) == []


def test_a_second_pass_keeps_what_others_changed_but_for_the_token() -> None:
    between = injected(pod())
    sidecar = between["spec"]["initContainers"][0]
    sidecar["image"] = "mirror.example.com/wsroute/sidecar:1"
    sidecar["imagePullPolicy"] = "Always"
    sidecar["resources"]["limits"]["ephemeral-storage"] = "1Gi"
    expected = copy.deepcopy(sidecar)
    sidecar["volumeMounts"].append(TOKEN_MOUNT)
    between["spec"]["initContainers"].insert(0, {"name": "first-of-another-webhook"})

    result = injected(between)
    assert sidecar_of(result) == expected
    assert result["spec"]["initContainers"][0]["name"] == "first-of-another-webhook"
    assert patch(result) == []


@pytest.mark.parametrize(
    "stale",
    [
        pytest.param({"wsroute.dev/injected": "0.0.1+00000000"}, id="another version"),
        pytest.param({}, id="no stamp"),
    ],
)
def test_a_sidecar_of_an_earlier_injection_is_replaced(stale: Json) -> None:
    given = pod(
        {"annotations": stale},
        initContainers=[
            {"name": "migrate"},
            {"name": "wsroute", "image": "old", "restartPolicy": "Always"},
        ],
    )
    result = injected(given)
    assert [c["name"] for c in result["spec"]["initContainers"]] == ["wsroute", "migrate"]
    assert result["spec"]["initContainers"] == injected(pod())["spec"]["initContainers"] + [
        {"name": "migrate"}
    ]


def test_a_stamp_without_a_sidecar_does_not_keep_the_sidecar_out() -> None:
    given = injected(pod())
    del given["spec"]["initContainers"]
    assert sidecar_of(injected(given))


def test_a_change_of_the_tuning_is_a_new_injection() -> None:
    given = injected(pod())
    given["metadata"]["annotations"]["wsroute.dev/log-level"] = "debug"
    assert {"name": "WSROUTE_LOG_LEVEL", "value": "debug"} in sidecar_of(injected(given))["env"]


def signed(nonce: str) -> str | None:
    """What stands for a first snapshot."""
    return f"bound to {nonce}"


def first_snapshot(given: Json) -> str | None:
    found: str | None = given["metadata"]["annotations"].get("wsroute.dev/bootstrap")
    return found


def nonces(given: Json) -> list[str]:
    return [e["value"] for e in sidecar_of(given)["env"] if e["name"] == "WSROUTE_NONCE"]


def test_a_pod_carries_a_first_snapshot_that_is_bound_to_its_sidecar() -> None:
    result = injected(pod(), "n1", signed)
    assert (nonces(result), first_snapshot(result)) == (["n1"], "bound to n1")


def test_a_second_pass_binds_to_the_nonce_that_the_sidecar_has() -> None:
    result = injected(injected(pod(), "n1", signed), "n2", signed)
    assert (nonces(result), first_snapshot(result)) == (["n1"], "bound to n1")


def test_a_sidecar_that_is_replaced_has_a_new_nonce() -> None:
    given = injected(pod(), "n1", signed)
    given["metadata"]["annotations"]["wsroute.dev/log-level"] = "debug"
    result = injected(given, "n2", signed)
    assert (nonces(result), first_snapshot(result)) == (["n2"], "bound to n2")


def test_a_snapshot_that_a_pod_brings_along_is_taken_away() -> None:
    given = pod({"annotations": {"wsroute.dev/bootstrap": "of another pod"}})
    assert first_snapshot(injected(given)) is None


def test_a_sidecar_without_a_nonce_gets_no_snapshot() -> None:
    given = injected(pod())
    env = sidecar_of(given)["env"]
    env[:] = [entry for entry in env if entry["name"] != "WSROUTE_NONCE"]
    assert first_snapshot(injected(given, "n2", signed)) is None
