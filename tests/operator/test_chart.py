"""What the chart installs."""

from __future__ import annotations

import json

import pytest
import yaml

from tests.documents.values import CHART
from tests.operator.apiserver import ADMIN
from tests.operator.cluster import Cluster
from tests.operator.helm import Json, Objects, helm, of_kind, rendering, run
from wsroute_api import contract
from wsroute_operator import settings

pytestmark = pytest.mark.cluster  # for Helm, which is built with the node's programs

DIGEST = "sha256:" + "0123456789abcdef" * 4
FULL: Json = {
    "image": {
        "registry": "registry.example.com/team/",
        "pullPolicy": "Always",
        "operator": {"repository": "op", "tag": "v2"},
        "sidecar": {"repository": "sc", "digest": DIGEST},
    },
    "imagePullSecrets": [{"name": "pull"}],
    "nameOverride": "ws",
    "fullnameOverride": "edge",
    "crds": {"enabled": False},
    "operator": {
        "replicas": 3,
        "logLevel": "debug",
        "signingKeyDays": 0,
        "resources": {"requests": {"cpu": 1}, "limits": {"memory": "1Gi"}},
        "priorityClassName": "system-cluster-critical",
        "podLabels": {"team": "edge"},
        "podAnnotations": {"note": "yes"},
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [{"operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "topologySpreadConstraints": [],
    },
    "sidecar": {
        "logLevel": "warning",
        "resources": {"requests": {"cpu": "20m"}},
        "trustedProxies": ["10.0.0.0/8", "fd00::/8"],
    },
    "webhook": {"port": 10250, "existingSecret": "from-cert-manager"},
    "serviceAccount": {"name": "runner", "annotations": {"role": "r"}},
    "podMonitor": {"enabled": True, "interval": "10s", "labels": {"release": "prometheus"}},
    "prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}},
    "dashboard": {"enabled": True, "labels": {"folder": "edge"}},
    "extraObjects": [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "{{ .Release.Name }}-object"},
        },
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: '{{ .Release.Name }}-text'}}",
    ],
}


@pytest.fixture(scope="module")
def default() -> Objects:
    return rendering()


@pytest.fixture(scope="module")
def full() -> Objects:
    return rendering(FULL)


def container(objects: Objects, name: str = "wsroute-operator") -> Json:
    (found,) = objects["Deployment", name]["spec"]["template"]["spec"]["containers"]
    return dict(found)


def told(objects: Objects, name: str = "wsroute-operator") -> settings.Settings:
    """What the operator makes of the environment that the chart gives it."""
    env = container(objects, name)["env"]
    environ = {entry["name"]: str(entry["value"]) for entry in env if "value" in entry}
    known = {f"{settings.PREFIX}{field}".upper() for field in settings.Settings.__annotations__}
    assert environ.keys() <= known
    return settings.parse([], environ | {"POD_NAMESPACE": "wsroute-system"})


@pytest.mark.parametrize("values", [pytest.param({}, id="default"), pytest.param(FULL, id="full")])
def test_helm_finds_nothing_to_say_against_it(values: Json) -> None:
    done = helm("lint", "--strict", str(CHART), values=values)
    assert done.returncode == 0, done.stdout + done.stderr


def test_by_default_it_installs_exactly_this(default: Objects) -> None:
    assert sorted(default) == [
        ("ClusterRole", "wsroute-edit"),
        ("ClusterRole", "wsroute-operator"),
        ("ClusterRole", "wsroute-view"),
        ("ClusterRoleBinding", "wsroute-operator"),
        ("CustomResourceDefinition", "websocketroutes.wsroute.dev"),
        ("Deployment", "wsroute-operator"),
        ("Lease", "wsroute-operator"),
        ("MutatingWebhookConfiguration", "wsroute-webhook"),
        ("NetworkPolicy", "wsroute-operator"),
        ("Pod", "wsroute-test"),
        ("PodDisruptionBudget", "wsroute-operator"),
        ("Role", "wsroute-operator"),
        ("RoleBinding", "wsroute-operator"),
        ("Service", "wsroute-webhook"),
        ("ServiceAccount", "wsroute-operator"),
    ]


def test_two_releases_share_no_name_but_the_resources(default: Objects) -> None:
    other = rendering(release="second")
    assert set(default) & set(other) == {
        ("CustomResourceDefinition", "websocketroutes.wsroute.dev")
    }


def test_the_operator_understands_all_that_it_is_told(default: Objects) -> None:
    found = told(default)
    assert found.sidecar_image == "wsroute/sidecar:0.1.0"
    assert found.sidecar_resources.requests == {"cpu": "10m", "memory": "64Mi"}
    assert found.webhook_service == "wsroute-webhook"
    assert found.webhook_configuration == "wsroute-webhook"
    assert found.webhook_certificates == "managed"


def test_artifact_hub_is_told_of_the_images_that_are_used(default: Objects) -> None:
    annotations = yaml.safe_load((CHART / "Chart.yaml").read_text("utf-8"))["annotations"]
    images = {i["name"]: i["image"] for i in yaml.safe_load(annotations["artifacthub.io/images"])}
    assert images == {
        "operator": container(default)["image"],
        "sidecar": told(default).sidecar_image,
    }


def test_every_value_arrives(full: Objects) -> None:
    found = told(full, "edge-operator")
    assert found.sidecar_image == f"registry.example.com/team/sc@{DIGEST}"
    assert found.sidecar_pull_policy == "Always"
    assert found.sidecar_log_level == "warning"
    assert found.sidecar_resources.requests == {"cpu": "20m", "memory": "64Mi"}
    assert found.sidecar_trusted_proxies == "10.0.0.0/8,fd00::/8"
    assert found.log_level == "debug"
    assert found.signing_key_days is None
    assert found.webhook_listen.port == 10250
    assert found.webhook_certificates == "existing"
    assert found.webhook_secret == "from-cert-manager"  # noqa: S105 - a name

    deployment = full["Deployment", "edge-operator"]["spec"]
    pod = deployment["template"]["spec"]
    assert deployment["replicas"] == 3
    assert container(full, "edge-operator")["image"] == "registry.example.com/team/op:v2"
    assert container(full, "edge-operator")["resources"]["requests"]["cpu"] == 1
    assert pod["imagePullSecrets"] == [{"name": "pull"}]
    assert pod["priorityClassName"] == "system-cluster-critical"
    assert pod["serviceAccountName"] == "runner"
    assert pod["nodeSelector"] == {"kubernetes.io/os": "linux"}
    assert pod["tolerations"] == [{"operator": "Exists"}]
    assert pod["affinity"] == {"nodeAffinity": {}}
    assert "topologySpreadConstraints" not in pod
    assert deployment["template"]["metadata"]["labels"]["team"] == "edge"
    assert deployment["template"]["metadata"]["annotations"] == {"note": "yes"}
    assert full["ServiceAccount", "runner"]["metadata"]["annotations"] == {"role": "r"}
    assert of_kind(full, "CustomResourceDefinition") == []
    assert sorted(of_kind(full, "ConfigMap")) == [
        "edge-dashboard", "wsroute-object", "wsroute-text",
    ]  # fmt: skip
    assert full["ConfigMap", "edge-dashboard"]["metadata"]["labels"]["folder"] == "edge"
    assert full["PrometheusRule", "edge"]["metadata"]["labels"]["release"] == "prometheus"
    assert of_kind(full, "PodMonitor") == ["edge-operator", "edge-sidecars"]
    monitor = full["PodMonitor", "edge-sidecars"]
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    assert monitor["spec"]["podMetricsEndpoints"][0]["interval"] == "10s"


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ({"crds": {"enabled": False}}, "CustomResourceDefinition"),
        ({"serviceAccount": {"create": False}}, "ServiceAccount"),
        ({"rbac": {"create": False, "aggregate": False}}, "ClusterRole"),
        ({"rbac": {"create": False}}, "RoleBinding"),
        ({"networkPolicy": {"enabled": False}}, "NetworkPolicy"),
        ({"operator": {"podDisruptionBudget": {"enabled": False}}}, "PodDisruptionBudget"),
        ({"operator": {"replicas": 1}}, "PodDisruptionBudget"),
    ],
)
def test_what_is_switched_off_is_not_there(values: Json, kind: str) -> None:
    assert of_kind(rendering(values), kind) == []


@pytest.mark.parametrize(
    ("keep", "annotations"),
    [(True, {"helm.sh/resource-policy": "keep"}), (False, None)],
)
def test_the_resource_outlives_the_release_if_it_is_to(
    keep: bool, annotations: Json | None
) -> None:
    found = rendering({"crds": {"keep": keep}})
    resource = found["CustomResourceDefinition", "websocketroutes.wsroute.dev"]
    assert resource["metadata"].get("annotations") == annotations


def rights(role: Json) -> set[tuple[str, str, str, str]]:
    """Group, resource, name and verb of all that a role grants."""
    return {
        (group, resource, name, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for name in rule.get("resourceNames", [""])
        for verb in rule["verbs"]
    }


def test_in_the_cluster_the_operator_may_do_this_and_no_more(default: Objects) -> None:
    assert rights(default["ClusterRole", "wsroute-operator"]) == {
        ("wsroute.dev", "websocketroutes", "", "list"),
        ("wsroute.dev", "websocketroutes", "", "watch"),
        ("wsroute.dev", "websocketroutes/status", "", "patch"),
        ("", "pods", "", "list"),
        ("", "pods", "", "watch"),
        ("", "services", "", "list"),
        ("", "services", "", "watch"),
        ("events.k8s.io", "events", "", "create"),
        ("apiextensions.k8s.io", "customresourcedefinitions", "", "list"),
        ("apiextensions.k8s.io", "customresourcedefinitions", "", "watch"),
        (
            "admissionregistration.k8s.io",
            "mutatingwebhookconfigurations",
            "wsroute-webhook",
            "get",
        ),
        (
            "admissionregistration.k8s.io",
            "mutatingwebhookconfigurations",
            "wsroute-webhook",
            "patch",
        ),
    }


def test_in_its_namespace_the_operator_may_do_this_and_no_more(default: Objects) -> None:
    assert rights(default["Role", "wsroute-operator"]) == {
        ("coordination.k8s.io", "leases", "", "create"),
        ("coordination.k8s.io", "leases", "wsroute-operator", "get"),
        ("coordination.k8s.io", "leases", "wsroute-operator", "update"),
        ("", "secrets", "", "create"),
        ("", "secrets", "wsroute-signing-keys", "get"),
        ("", "secrets", "wsroute-signing-keys", "patch"),
        ("", "secrets", "wsroute-webhook", "get"),
        ("", "secrets", "wsroute-webhook", "patch"),
    }


def test_the_names_in_its_rights_are_those_that_it_uses(full: Objects) -> None:
    found = told(full, "edge-operator")
    granted = rights(full["Role", "edge-operator"]) | rights(full["ClusterRole", "edge-operator"])
    assert {(resource, name) for _, resource, name, _ in granted if name} == {
        ("leases", found.lease_name),
        ("secrets", found.keys_secret),
        ("secrets", found.webhook_secret),
        ("mutatingwebhookconfigurations", found.webhook_configuration),
    }
    assert ("", "secrets", "from-cert-manager", "patch") not in granted


def test_dashboard_and_alert_rules_arrive_as_they_are(full: Objects) -> None:
    files = CHART / "monitoring"
    rules = yaml.safe_load((files / "alerts.yaml").read_text("utf-8"))
    assert full["PrometheusRule", "edge"]["spec"] == rules
    dashboard = full["ConfigMap", "edge-dashboard"]["data"]["wsroute.json"]
    assert json.loads(dashboard) == json.loads((files / "dashboard.json").read_text("utf-8"))


@pytest.mark.parametrize("issuer", [None, {"kind": "ClusterIssuer", "name": "internal"}])
def test_cert_manager_makes_what_the_operator_then_only_reads(issuer: Json | None) -> None:
    cert_manager = {"enabled": True} | ({"issuerRef": issuer} if issuer else {})
    objects = rendering({"webhook": {"certManager": cert_manager}})
    found = told(objects)
    certificate = objects["Certificate", "wsroute-webhook"]["spec"]
    assert found.webhook_certificates == "existing"
    assert certificate["secretName"] == found.webhook_secret
    assert certificate["dnsNames"] == [f"{found.webhook_service}.wsroute-system.svc"]
    assert ("", "secrets", found.webhook_secret, "patch") not in rights(
        objects["Role", "wsroute-operator"]
    )
    (ca,) = objects["Pod", "wsroute-test"]["spec"]["volumes"]
    assert ca["secret"]["secretName"] == found.webhook_secret

    if issuer:
        assert certificate["issuerRef"] == issuer
        assert of_kind(objects, "Issuer") == []
    else:
        authority = objects["Certificate", "wsroute-webhook-authority"]["spec"]
        signer = objects["Issuer", certificate["issuerRef"]["name"]]["spec"]
        assert authority["isCA"]
        assert signer["ca"]["secretName"] == authority["secretName"]


def test_a_test_that_succeeded_leaves_no_pod(default: Objects) -> None:
    policy = default["Pod", "wsroute-test"]["metadata"]["annotations"]["helm.sh/hook-delete-policy"]
    assert set(policy.split(",")) == {"before-hook-creation", "hook-succeeded"}


def test_the_lease_goes_with_the_release_and_no_upgrade_touches_its_holder(
    default: Objects,
) -> None:
    assert "spec" not in default["Lease", told(default).lease_name]


def test_whoever_may_change_a_namespace_may_change_its_routes(default: Objects) -> None:
    view, edit = default["ClusterRole", "wsroute-view"], default["ClusterRole", "wsroute-edit"]
    assert {verb for *_, verb in rights(view)} == {"get", "list", "watch"}
    assert {verb for *_, verb in rights(edit)} == {
        "create", "delete", "deletecollection", "patch", "update",
    }  # fmt: skip
    assert {resource for _, resource, *_ in rights(view) | rights(edit)} == {contract.PLURAL}


def test_only_pods_that_ask_for_it_wait_for_the_webhook(default: Objects) -> None:
    (hook,) = default["MutatingWebhookConfiguration", "wsroute-webhook"]["webhooks"]
    assert hook["objectSelector"] == {"matchLabels": {contract.INJECT_LABEL: "true"}}
    (elsewhere,) = hook["namespaceSelector"]["matchExpressions"]
    assert elsewhere == {
        "key": "kubernetes.io/metadata.name",
        "operator": "NotIn",
        "values": ["kube-system", "wsroute-system"],
    }
    assert (hook["failurePolicy"], hook["timeoutSeconds"]) == ("Fail", 5)
    assert (hook["reinvocationPolicy"], hook["sideEffects"]) == ("IfNeeded", "None")
    assert "caBundle" not in hook["clientConfig"]


@pytest.mark.parametrize("port", [9443, 10250])
def test_the_webhooks_service_leads_to_the_operator(port: int) -> None:
    objects = rendering({"webhook": {"port": port}})
    (hook,) = objects["MutatingWebhookConfiguration", "wsroute-webhook"]["webhooks"]
    called = hook["clientConfig"]["service"]
    assert (called["namespace"], called["path"]) == ("wsroute-system", "/inject")
    service = objects["Service", called["name"]]["spec"]
    labels = objects["Deployment", "wsroute-operator"]["spec"]["template"]["metadata"]["labels"]
    assert service["selector"].items() <= labels.items()
    (entry,) = service["ports"]
    assert entry["port"] == called["port"]
    ports = {p["name"]: p["containerPort"] for p in container(objects)["ports"]}
    assert ports[entry["targetPort"]] == told(objects).webhook_listen.port == port


def test_no_pod_of_the_chart_is_the_service_but_the_operators(default: Objects) -> None:
    selector = default["Service", "wsroute-webhook"]["spec"]["selector"]
    test = default["Pod", "wsroute-test"]["metadata"]["labels"]
    assert not selector.items() <= test.items()


@pytest.mark.parametrize("kind", ["Deployment", "Pod"])
def test_its_pods_meet_the_restricted_pod_security_level(default: Objects, kind: str) -> None:
    (name,) = of_kind(default, kind)
    spec = default[kind, name]["spec"]
    pod = spec["template"]["spec"] if kind == "Deployment" else spec
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for found in pod["containers"]:
        assert found["securityContext"]["allowPrivilegeEscalation"] is False
        assert found["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert found["resources"]["requests"]


def test_an_api_server_takes_it_and_the_notes_lead_to_a_first_route(
    cluster: Cluster, shop: str
) -> None:
    release = ("wsroute", f"--namespace={shop}", f"--kubeconfig={cluster.api.kubeconfig(ADMIN)}")
    installed = run("install", *release, str(CHART), "--set=crds.enabled=false")
    try:
        assert installed.returncode == 0, installed.stderr
        notes = installed.stdout.partition("NOTES:")[2]
        route = notes.partition("<<EOF\n")[2].partition("EOF\n")[0]
        applied = cluster.api.kubectl("apply", f"-n={shop}", "-f=-", stdin=route)
        assert applied == "websocketroute.wsroute.dev/chat created\n"
        assert f'{contract.INJECT_LABEL}: "true"' in notes
        assert f"targetPort: {contract.DATA_PORT}" in notes
    finally:
        assert run("uninstall", *release).returncode == 0
