"""The annotations with which a pod tunes its sidecar.

Whoever may create a pod may write them, so each is one value of a closed type. None names an
image, a command, a security context or a volume: what runs in the pod is the operator's choice.
An unknown annotation of this group is a mistake that is told, not a wish that is lost.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from wsroute_api import quantities
from wsroute_api.contract import BOOTSTRAP_ANNOTATION, GROUP, INJECTED_ANNOTATION

LOG_LEVEL: Final = f"{GROUP}/log-level"
LOG_LEVELS: Final = ("debug", "info", "warning", "error")

_RESOURCES: Final = {
    f"{GROUP}/{resource}-{bound}": (resource, bound)
    for resource in ("cpu", "memory")
    for bound in ("request", "limit")
}
_QUANTITIES: Final = {
    "cpu": (re.compile(r"^([1-9][0-9]{0,5}m|[0-9]{1,3}(\.[0-9]{1,3})?)$"), "250m or 1.5"),
    "memory": (re.compile(quantities.PATTERN), "64Mi"),
}
KNOWN: Final = (LOG_LEVEL, *_RESOURCES)


@dataclass(frozen=True)
class Tuning:
    """What a pod wants otherwise than the operator's defaults."""

    log_level: str | None = None
    requests: dict[str, str] = field(default_factory=dict)
    limits: dict[str, str] = field(default_factory=dict)


def read(annotations: Mapping[str, str]) -> Tuning:
    """The tuning in a pod's annotations; ValueError, with a text for its author, at a mistake."""
    ours = {name: value for name, value in annotations.items() if name.startswith(f"{GROUP}/")}
    for annotation in (INJECTED_ANNOTATION, BOOTSTRAP_ANNOTATION):
        ours.pop(annotation, None)
    tuning = Tuning(log_level=_log_level(ours.pop(LOG_LEVEL, None)))
    for name, value in ours.items():
        if name not in _RESOURCES:
            raise ValueError(f"annotation {name} is unknown: there are {', '.join(KNOWN)}")
        resource, bound = _RESOURCES[name]
        pattern, example = _QUANTITIES[resource]
        if not pattern.fullmatch(value):
            raise ValueError(f"annotation {name} is {value!r}: make it a quantity like {example}")
        (tuning.requests if bound == "request" else tuning.limits)[resource] = value
    return tuning


def _log_level(value: str | None) -> str | None:
    if value is not None and value not in LOG_LEVELS:
        raise ValueError(f"annotation {LOG_LEVEL} is {value!r}: make it {', '.join(LOG_LEVELS)}")
    return value
