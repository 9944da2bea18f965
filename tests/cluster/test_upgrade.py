"""Helm changes the release, takes it back and removes it; tunnels carry traffic meanwhile."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest

from tests.support.waiting import until
from wsroute_api.contract import CONTAINER, KIND, PLURAL

from . import release
from .echo import APP, Echo
from .kube import apply, kubectl, kubectl_json, wait_for
from .node.clients import CTR
from .node.shell import run
from .objects import container, injected, pod, route, rule
from .tunnels import LIMIT, Traffic, handshake

_PLACE: Final = f"--namespace={release.NAMESPACE}"
_NEXT: Final = "wsroute/sidecar:next"
_ASKING: Final = json.dumps(injected(pod("asking", container("app", "examples", "true"))))


def _sidecar_of_a_new_pod(namespace: str) -> Any:
    """What the webhook would add to a pod that is created now."""
    ask = ("create", f"--namespace={namespace}", "--dry-run=server", "--output=json", "-f=-")
    (sidecar,) = json.loads(kubectl(*ask, stdin=_ASKING))["spec"]["initContainers"]
    return sidecar


def _new_pods_get(image: str, namespace: str) -> None:
    """Wait for it: API servers may ask an earlier replica until that has ended."""
    until(lambda: _sidecar_of_a_new_pod(namespace)["image"] == image, f"pods with {image}", LIMIT)


@contextmanager
def _pods_can_be_created(namespace: str) -> Iterator[None]:
    """Ask the webhook all the time, and fail at the end if it did not always answer."""
    done = threading.Event()
    answered: list[str] = []
    failures: list[Exception] = []

    def ask() -> None:
        while not done.is_set() and not failures:
            try:
                answered.append(_sidecar_of_a_new_pod(namespace)["name"])
            except Exception as error:  # noqa: BLE001 - told to the test, in its own thread
                failures.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
    assert failures == []
    assert set(answered) == {CONTAINER}


def _left_behind() -> list[str]:
    """What there is in the release's namespace, but for what Kubernetes puts into every one."""
    kinds = "secrets,leases,configmaps,serviceaccounts,roles,rolebindings,services,deployments"
    found = kubectl("get", kinds, _PLACE, "--output=name").split()
    return [name for name in found if name not in ("configmap/kube-root-ca.crt", _DEFAULT)]


_DEFAULT: Final = "serviceaccount/default"


@pytest.fixture
def served(echo: Echo) -> Iterator[Echo]:
    """The echo server with a route to /."""
    echo.apply("steady", rule("/"))
    yield echo
    echo.delete("steady")


def test_an_upgrade_and_a_rollback_drop_no_tunnel_and_refuse_no_pod(served: Echo) -> None:
    run(*CTR, "images", "tag", "--force", "docker.io/wsroute/sidecar:dev", f"docker.io/{_NEXT}")
    with Traffic(served.url("/")) as traffic, _pods_can_be_created(served.namespace):
        release.upgrade("image.sidecar.tag=next", "operator.logLevel=debug")
        _new_pods_get(_NEXT, served.namespace)
        apply(served.namespace, route("steady", rule("/", upgrade="Required"), app=APP))
        wait_for("Ready", served.namespace, "wsr/steady")
        traffic.more()

        release.rollback()
        _new_pods_get("wsroute/sidecar:dev", served.namespace)
        served.apply("steady", rule("/"))
        traffic.more()


def test_uninstalling_leaves_what_is_the_users_and_installing_again_takes_it_up(
    served: Echo,
) -> None:
    release.upgrade("crds.keep=true")
    uid = kubectl_json("get", "wsr", "steady", f"--namespace={served.namespace}")["metadata"]["uid"]
    with Traffic(served.url("/")) as traffic:
        release.uninstall()
        until(
            lambda: _left_behind() == ["secret/wsroute-signing-keys"],
            "only the keys that pods trust to be left",
            LIMIT,
        )
        kept = kubectl_json("get", PLURAL, "steady", f"--namespace={served.namespace}")
        assert (kept["kind"], kept["metadata"]["uid"]) == (KIND, uid)
        assert handshake(served.url("/"))[0] == 101
        traffic.more()

        apply(served.namespace, route("later", rule("/later", upgrade="Disabled"), app=APP))
        release.install()
        wait_for("Ready", served.namespace, "wsr/steady", "wsr/later")
        assert handshake(served.url("/later"))[0] == 403
        traffic.more()
    served.delete("later")
