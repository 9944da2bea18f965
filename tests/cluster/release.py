"""The chart on the node, installed from this checkout."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from .kube import helm, kubectl

NAMESPACE: Final = "wsroute-system"

_CHART: Final = Path(__file__).parents[2] / "charts" / "wsroute"
_PLACE: Final = f"--namespace={NAMESPACE}"
_OPERATOR: Final = ("deployment/wsroute-operator", _PLACE)


@contextmanager
def installed() -> Iterator[None]:
    """A release with the chart's own values, but the images of this checkout.

    What an earlier one left is removed first, and at the end everything goes, the CRD and the
    operator's Secrets and Lease among it.
    """
    images = [
        f"image.{part}.{key}={value}"
        for part in ("sidecar", "operator")
        for key, value in (("repository", f"wsroute/{part}"), ("tag", "dev"))
    ]
    values = (*images, "image.pullPolicy=Never", "crds.keep=false")
    settings = [f"--set={value}" for value in values]
    _remove()
    helm("install", "wsroute", str(_CHART), _PLACE, "--create-namespace", "--wait", *settings)
    yield
    _remove()


def _remove() -> None:
    helm("uninstall", "wsroute", _PLACE, "--ignore-not-found", "--wait")
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
