"""The node itself: what the other cluster tests take for granted."""

from __future__ import annotations

import urllib.request
from typing import Any

import pytest

from .kube import apply, kubectl, kubectl_json, service_address
from .node import daemons
from .objects import container, pod, service

_SERVE = "import http.server as h; h.test(h.SimpleHTTPRequestHandler, port=8080)"
_ASK_API = """
import ssl, urllib.request
account = "/var/run/secrets/kubernetes.io/serviceaccount"
trust = ssl.create_default_context(cafile=f"{account}/ca.crt")
print(urllib.request.urlopen("https://10.96.0.1/readyz", context=trust).read().decode())
"""

pytestmark = pytest.mark.usefixtures("images")


def _python(name: str, program: str, **more: Any) -> dict[str, Any]:
    return container(name, "examples", "python", "-c", program, **more)


def _ready(namespace: str, name: str) -> None:
    kubectl("wait", "--for=condition=Ready", f"pod/{name}", f"--namespace={namespace}")


def test_a_service_answers_from_the_host_through_a_native_sidecar(namespace: str) -> None:
    probe = {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1}
    sidecar = _python("sidecar", _SERVE, restartPolicy="Always", readinessProbe=probe)
    app = _python("app", "import signal; signal.pause()")
    apply(namespace, pod("web", app, initContainers=[sidecar]), service("web", 8080))
    _ready(namespace, "web")

    url = f"http://{service_address(namespace, 'web')}/"
    with urllib.request.urlopen(url, timeout=5) as answer:
        assert answer.status == 200


def test_a_pod_reaches_the_api_through_its_service(namespace: str) -> None:
    apply(namespace, pod("asker", _python("asker", _ASK_API), restartPolicy="Never"))
    finished = "--for=jsonpath={.status.phase}=Succeeded"
    kubectl("wait", finished, "pod/asker", f"--namespace={namespace}")
    assert kubectl("logs", "asker", f"--namespace={namespace}") == "ok\n"


def test_pods_survive_a_restart_of_the_api_server(namespace: str) -> None:
    apply(namespace, pod("web", _python("web", _SERVE)))
    _ready(namespace, "web")
    before = kubectl_json("get", "pod", "web", f"--namespace={namespace}")["metadata"]["uid"]
    daemons.API_SERVER.stop()
    daemons.API_SERVER.start()
    daemons.API_SERVER.wait()
    after = kubectl_json("get", "pod", "web", f"--namespace={namespace}")
    assert after["metadata"]["uid"] == before
    assert after["status"]["containerStatuses"][0]["restartCount"] == 0
