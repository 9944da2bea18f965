"""A cluster as the operator sees it: a real API server, pods that are objects and stand-ins."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from tests.operator.apiserver import ApiServer
from tests.operator.standin import Fleet, StandIn
from tests.support.sidecar import free_ports
from tests.support.waiting import LIMIT, until
from wsroute_api import contract
from wsroute_operator.keys import Keyring, parse

Json = dict[str, Any]

SYSTEM: Final = "wsroute-system"

_NUMBERS: Final = count(1)
"""All clusters of a process share its loopback addresses."""


def route(name: str, *, app: str = "chat", port: int | str = 8080, path: str = "/") -> Json:
    """A route of one rule to the pods with label `app`."""
    return {
        "apiVersion": contract.API_VERSION,
        "kind": contract.KIND,
        "metadata": {"name": name},
        "spec": {
            "selector": {"matchLabels": {"app": app}},
            "rules": [{"matches": [{"path": {"value": path}}], "backend": {"port": port}}],
        },
    }


class Cluster:
    """What tests do to a cluster."""

    def __init__(self, api: ApiServer, fleet: Fleet) -> None:
        self.api = api
        self.fleet = fleet
        api.post("/api/v1/namespaces", {"metadata": {"name": SYSTEM}})
        _grant(api)

    def namespace(self) -> str:
        """The name of a new namespace."""
        name = f"shop-{next(_NUMBERS)}"
        self.api.post("/api/v1/namespaces", {"metadata": {"name": name}})
        return name

    def keys(self) -> list[str]:
        """The public keys of which the operator's Secret has the private ones."""
        path = f"/api/v1/namespaces/{SYSTEM}/secrets/wsroute-signing-keys"
        return Keyring(parse(self.api.get(path)["data"])).public()

    def has_keys(self) -> bool:
        """Whether the Secret is there."""
        try:
            return bool(self.keys())
        except urllib.error.HTTPError:
            return False

    def pod(self, namespace: str, name: str, *, app: str = "chat") -> Pod:
        """A running pod with a sidecar that answers."""
        pod = self.pending(namespace, name, app=app)
        pod.run()
        return pod

    def pending(
        self, namespace: str, name: str, *, app: str = "chat", address: str = "", key: str = ""
    ) -> Pod:
        """A pod that does not run yet; it trusts one `key`, or all there are."""
        number = next(_NUMBERS)
        address = address or f"127.77.{number // 250}.{number % 250 + 1}"
        return Pod(self, pod_manifest(namespace, name, app, [key] if key else self.keys()), address)

    def apply(self, namespace: str, *objects: Json) -> None:
        """`kubectl apply` in a namespace."""
        together = {"apiVersion": "v1", "kind": "List", "items": objects}
        self.api.kubectl("apply", f"-n={namespace}", "-f=-", stdin=json.dumps(together))

    def status(self, namespace: str, name: str) -> Json:
        """A route's status."""
        path = f"/apis/{contract.API_VERSION}/namespaces/{namespace}/{contract.PLURAL}/{name}"
        status: Json = self.api.get(path).get("status") or {}
        return status

    def condition(self, namespace: str, name: str, kind: str) -> Json:
        """One condition of a route; empty while it is not there."""
        conditions = self.status(namespace, name).get("conditions", [])
        return next((c for c in conditions if c["type"] == kind), {})

    def ready(self, namespace: str, name: str, generation: int = 1) -> Json:
        """Wait until a route is ready in a generation, and return the condition."""

        def found() -> Json | None:
            condition = self.condition(namespace, name, "Ready")
            good = condition.get("status") == "True"
            return condition if good and condition["observedGeneration"] >= generation else None

        try:
            result: Json = until(found, f"{namespace}/{name} ready")
        except TimeoutError as error:
            error.add_note(json.dumps(self.status(namespace, name), indent=1))
            raise
        return result


class Pod:
    """A pod object, and the stand-in that answers for it."""

    def __init__(self, cluster: Cluster, manifest: Json, address: str) -> None:
        self._cluster = cluster
        namespace, name = manifest["metadata"]["namespace"], manifest["metadata"]["name"]
        created = cluster.api.post(f"/api/v1/namespaces/{namespace}/pods", manifest)
        keys = manifest["spec"]["initContainers"][0]["env"][0]["value"].split(",")
        self.namespace = namespace
        self.path = f"/api/v1/namespaces/{namespace}/pods/{name}"
        self.address = address
        self.sidecar = StandIn(created["metadata"]["uid"], namespace, keys)
        self._restarts = 0

    def run(self) -> None:
        """Have it run: its sidecar answers, and its status says so."""
        self._cluster.fleet.add(self.address, self.sidecar)
        self.report_running()

    def report_running(self) -> None:
        """Have its status say that it runs, whoever answers for its sidecar."""
        self.report({
            "phase": "Running",
            "podIP": self.address,
            "podIPs": [{"ip": self.address}],
            "initContainerStatuses": [self._container()],
        })  # fmt: skip

    def restart_sidecar(self) -> None:
        """A new container in place of the sidecar's, with an empty memory."""
        self.sidecar = self.sidecar.successor()
        self._cluster.fleet.add(self.address, self.sidecar)
        self._restarts += 1
        self.report({"initContainerStatuses": [self._container()]})

    def report(self, status: Mapping[str, Any]) -> None:
        """Change its status, as its kubelet would."""
        self._cluster.api.patch(f"{self.path}/status", {"status": status})

    def delete(self) -> None:
        """Delete it at once."""
        self._cluster.api.delete(self.path)

    def _container(self) -> Json:
        return {
            "name": contract.CONTAINER,
            "image": "sidecar",
            "imageID": "",
            "ready": False,
            "restartCount": self._restarts,
            "started": True,
            "containerID": f"containerd://{self.sidecar.uid}-{self._restarts}",
            "state": {"running": {"startedAt": "2025-01-01T00:00:00Z"}},
        }


def pod_manifest(namespace: str, name: str, app: str, keys: Sequence[str]) -> Json:
    """A pod as it is after injection."""
    sidecar = {
        "name": contract.CONTAINER,
        "image": "sidecar",
        "restartPolicy": "Always",
        "env": [{"name": contract.ENV_PUBLIC_KEYS, "value": ",".join(keys)}],
    }
    ports = [{"name": "web", "containerPort": 8080}]
    labels = {"app": app, contract.INJECT_LABEL: "true"}
    return {
        "metadata": {"namespace": namespace, "name": name, "labels": labels},
        "spec": {
            "initContainers": [sidecar],
            "containers": [{"name": "app", "image": "app", "ports": ports}],
        },
    }


class Operator:
    """The real process, from `with` to its end."""

    def __init__(
        self, api: ApiServer, name: str = "operator-1", *flags: str, through: int = 0
    ) -> None:
        """`through` is the port at which it finds the API server, where that is another."""
        (self.port,) = free_ports(1)
        self._log = api.folder / f"{name}.log"
        self._command = [
            str(Path(sys.executable).with_name("wsroute-operator")),
            f"--namespace={SYSTEM}",
            f"--identity={name}",
            f"--listen=127.0.0.1:{self.port}",
            "--log-format=json",
            "--log-level=debug",
            *flags,
        ]
        self._env = os.environ | {"KUBECONFIG": str(api.kubeconfig(port=through))}

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.kill()
        if error is not None:
            error.add_note(f"operator's log:\n{self._log.read_text()[-9000:]}")

    def start(self) -> None:
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(self._command, env=self._env, stderr=log)

    def stop(self) -> float:
        """SIGTERM; the seconds until it ended with status 0."""
        begun = time.monotonic()
        assert self.end(signal.SIGTERM) == 0
        return time.monotonic() - begun

    def kill(self) -> None:
        """SIGKILL."""
        self.end(signal.SIGKILL)

    def sleep(self) -> None:
        """Stop it without a word; a signal alone leaves its threads a while."""
        self.process.send_signal(signal.SIGSTOP)
        threads = Path(f"/proc/{self.process.pid}/task")
        until(lambda: all(_is_stopped(thread) for thread in threads.iterdir()), "it is stopped")

    def wake(self) -> None:
        """Let it go on."""
        self.process.send_signal(signal.SIGCONT)

    def end(self, number: signal.Signals) -> int:
        """Send a signal that ends it; its exit status."""
        self.process.send_signal(number)
        return self.process.wait(LIMIT)

    def lines(self) -> list[Json]:
        """Its log so far."""
        return [json.loads(line) for line in self._log.read_text().splitlines()]

    def http(self, path: str) -> tuple[int, str]:
        """Status and body of its own HTTP port; (0, "") while nothing listens."""
        assert self.process.poll() is None, "the operator has ended"
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def ready(self) -> None:
        """Wait until it says that it is ready."""
        until(lambda: self.http("/readyz")[0] == 200, "the operator ready")

    def logged(self, event: str, seconds: float = LIMIT) -> Json:
        """Wait for a line of its log."""
        line: Json = until(
            lambda: next((line for line in self.lines() if line["event"] == event), None),
            f"{event!r} logged",
            seconds,
        )
        return line


def _grant(api: ApiServer) -> None:
    """What the operator may do, as its package's docstring has it."""
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    subject = {"kind": "User", "name": "operator", "apiGroup": "rbac.authorization.k8s.io"}
    cluster_rules = [
        _rule(contract.GROUP, contract.PLURAL, "list", "watch"),
        _rule(contract.GROUP, f"{contract.PLURAL}/status", "patch"),
        _rule("", "pods", "list", "watch"),
        _rule("", "services", "list", "watch"),
        _rule("events.k8s.io", "events", "create"),
        _rule("apiextensions.k8s.io", "customresourcedefinitions", "list", "watch"),
        _rule(
            "admissionregistration.k8s.io",
            "mutatingwebhookconfigurations",
            "get",
            "patch",
            name="wsroute-webhook",
        ),
    ]
    rules = [
        _rule("coordination.k8s.io", "leases", "create"),
        _rule("coordination.k8s.io", "leases", "get", "update", name="wsroute-operator"),
        _rule("", "secrets", "create"),
        _rule("", "secrets", "get", "patch", name="wsroute-signing-keys"),
        _rule("", "secrets", "get", "patch", name="wsroute-webhook"),
    ]
    meta = {"name": "operator"}
    for path, kind, what in (
        (f"{rbac}", "Cluster", cluster_rules),
        (f"{rbac}/namespaces/{SYSTEM}", "", rules),
    ):
        reference = {"kind": f"{kind}Role", "name": "operator"}
        reference["apiGroup"] = "rbac.authorization.k8s.io"
        api.post(f"{path}/{kind.lower()}roles", {"metadata": meta, "rules": what})
        api.post(
            f"{path}/{kind.lower()}rolebindings",
            {"metadata": meta, "roleRef": reference, "subjects": [subject]},
        )


def _rule(group: str, resource: str, *verbs: str, name: str = "") -> Json:
    rule: Json = {"apiGroups": [group], "resources": [resource], "verbs": list(verbs)}
    return rule | ({"resourceNames": [name]} if name else {})


def _is_stopped(thread: Path) -> bool:
    return (thread / "stat").read_text().rpartition(")")[2].split()[0] == "T"
