"""The sidecar's container, as it is put into a pod.

It is a native sidecar: an init container that starts before the application, is waited for, and
ends after it. Each field that the restricted Pod Security level demands is set on the container
itself, so that it does not depend on the pod's own security context.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from wsroute_api import contract
from wsroute_operator.tuning import Tuning

Json = dict[str, Any]

# Any number but 0 would do; this one is the customary "nonroot" of minimal images.
_USER: Final = 65532

# It takes that long until no kube-proxy leads clients to a pod that is being deleted.
_DRAIN: Final = ("wsroute-sidecar", "drain", "--accept=5")


class Resources(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A container's resources; a quantity that needs no unit may be a number."""

    requests: dict[str, str | float] = {}
    limits: dict[str, str | float] = {}

    @classmethod
    def parse(cls, text: str) -> Resources:
        """From JSON; ValueError otherwise."""
        return msgspec.json.decode(text, type=cls)


@dataclass(frozen=True, kw_only=True)
class Sidecar:
    """What all sidecars share, from the operator's settings."""

    image: str
    pull_policy: str
    log_level: str
    resources: Resources
    trusted_proxies: str = ""


def build(sidecar: Sidecar, tuning: Tuning, keys: Sequence[str]) -> Json:
    """The container for a pod with this `tuning`; `keys` are the public keys that it trusts."""
    return {
        "name": contract.CONTAINER,
        "image": sidecar.image,
        "imagePullPolicy": sidecar.pull_policy,
        "restartPolicy": "Always",
        "env": [
            _from_pod(contract.ENV_NAMESPACE, "metadata.namespace"),
            _from_pod(contract.ENV_POD_NAME, "metadata.name"),
            _from_pod(contract.ENV_POD_UID, "metadata.uid"),
            _from_pod(
                contract.ENV_BOOTSTRAP, f"metadata.annotations['{contract.BOOTSTRAP_ANNOTATION}']"
            ),
            {"name": contract.ENV_PUBLIC_KEYS, "value": ",".join(sorted(keys))},
            {"name": "WSROUTE_LOG_LEVEL", "value": tuning.log_level or sidecar.log_level},
            *_variable("WSROUTE_TRUSTED_PROXIES", sidecar.trusted_proxies),
        ],
        "ports": [
            _port(contract.CONTAINER, contract.DATA_PORT),
            _port(f"{contract.CONTAINER}-push", contract.PUSH_PORT),
            _port(f"{contract.CONTAINER}-health", contract.HEALTH_PORT),
        ],
        "resources": {
            "requests": {**sidecar.resources.requests, **tuning.requests},
            "limits": {**sidecar.resources.limits, **tuning.limits},
        },
        "volumeMounts": [{"name": contract.CONTAINER, "mountPath": contract.RUN_DIRECTORY}],
        # The application waits for the process only, never for routes: a pod must come up
        # while no operator is there to push them.
        "startupProbe": _probe("/healthz", period=1, failures=60),
        "readinessProbe": _probe("/readyz", period=2, failures=2),
        "livenessProbe": _probe("/healthz", period=10, failures=3),
        # A native sidecar's SIGTERM comes after the application has ended, too late to drain.
        "lifecycle": {"preStop": {"exec": {"command": [*_DRAIN]}}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "privileged": False,
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "runAsGroup": _USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }


def with_nonce(container: Json, nonce: str) -> Json:
    """The container with the nonce of its pod's admission."""
    return {**container, "env": [*container["env"], {"name": contract.ENV_NONCE, "value": nonce}]}


def nonce_of(container: Json) -> str:
    """The nonce that an earlier pass of the admission put into a container, or nothing."""
    values = (e.get("value") for e in container.get("env") or [] if e["name"] == contract.ENV_NONCE)
    return next(values, None) or ""


def _variable(name: str, value: str) -> list[Json]:
    """A variable; none at all for an empty value, which the API server would not store."""
    return [{"name": name, "value": value}] if value else []


def _from_pod(name: str, field: str) -> Json:
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": field}}}


def _port(name: str, number: int) -> Json:
    return {"name": name, "containerPort": number, "protocol": "TCP"}


def _probe(path: str, *, period: int, failures: int) -> Json:
    """An HTTP probe every `period` seconds."""
    return {
        "httpGet": {"path": path, "port": contract.HEALTH_PORT},
        "periodSeconds": period,
        "timeoutSeconds": 3,
        "failureThreshold": failures,
    }
