"""The chart on the node, installed from this checkout."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from .kube import helm, kubectl

NAMESPACE: Final = "wsroute-system"

_RELEASE: Final = "wsroute"
_CHART: Final = str(Path(__file__).parents[2] / "charts" / "wsroute")
_PLACE: Final = f"--namespace={NAMESPACE}"
_OPERATOR: Final = ("deployment/wsroute-operator", _PLACE)
_LEASE: Final = ("lease/wsroute-operator", _PLACE)
_VALUES: Final = (
    *(f"image.{part}.repository=wsroute/{part}" for part in ("sidecar", "operator")),
    *(f"image.{part}.tag=dev" for part in ("sidecar", "operator")),
    "image.pullPolicy=Never",
    "crds.keep=false",
)


@contextmanager
def installed() -> Iterator[None]:
    """A release with the chart's own values, but the images of this checkout.

    What an earlier one left is removed first, and at the end everything goes, the CRD and the
    operator's signing keys among it.
    """
    _remove()
    install()
    yield
    _remove()


def install() -> None:
    """Install the release, and wait until it is ready."""
    helm("install", _RELEASE, _CHART, _PLACE, "--create-namespace", "--wait", *_settings())


def upgrade(*values: str) -> None:
    """Upgrade it to the same chart with more values, each PATH=VALUE."""
    helm("upgrade", _RELEASE, _CHART, _PLACE, "--wait", *_settings(*values))


def rollback() -> None:
    """Go back to the revision before."""
    helm("rollback", _RELEASE, _PLACE, "--wait")


def uninstall() -> None:
    """Uninstall it, if it is there."""
    helm("uninstall", _RELEASE, _PLACE, "--ignore-not-found", "--wait")


def _settings(*values: str) -> list[str]:
    return [f"--set={value}" for value in (*_VALUES, *values)]


def _remove() -> None:
    uninstall()
    kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found")


@contextmanager
def no_operator() -> Iterator[None]:
    """Meanwhile no replica of the operator runs."""
    replicas = kubectl("get", *_OPERATOR, "--output=jsonpath={.spec.replicas}")
    kubectl("scale", "--replicas=0", *_OPERATOR)
    pods = "--selector=app.kubernetes.io/component=operator"
    kubectl("wait", "--for=delete", "pod", pods, _PLACE)
    try:
        yield
    finally:
        kubectl("scale", f"--replicas={replicas}", *_OPERATOR)
        kubectl("rollout", "status", *_OPERATOR)


@contextmanager
def no_leader() -> Iterator[None]:
    """Meanwhile all replicas serve the webhook and none leads, unless `let_lead` is called."""
    _patch_lease(holderIdentity="nobody", leaseDurationSeconds=3600)
    try:
        yield
    finally:
        let_lead()


def let_lead() -> None:
    """Release the Lease, if `no_leader` holds it."""
    held = kubectl("get", *_LEASE, "--output=jsonpath={.spec.holderIdentity}")
    if held == "nobody":
        _patch_lease(holderIdentity="", leaseDurationSeconds=1)


def _patch_lease(**spec: object) -> None:
    kubectl("patch", *_LEASE, "--type=merge", "--patch", json.dumps({"spec": spec}))
