"""Asking many sidecars at the same time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

from wsroute_kubectl import terminal
from wsroute_kubectl.kubectl import Kubectl, KubectlError
from wsroute_kubectl.pods import Pod

_AT_ONCE: Final = 16
"""Each is a kubectl process and a connection to the API server."""


@dataclass(frozen=True)
class Answer:
    """What one pod's sidecar said, or why it said nothing."""

    pod: Pod
    said: Any = None
    failure: str = ""


def ask(kubectl: Kubectl, pods: Sequence[Pod], *command: str) -> list[Answer]:
    """The answer of each pod, in their order, to a command that prints JSON."""
    if len(pods) > 1:
        terminal.progress(f"asking {len(pods)} pods ...")
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(lambda pod: _ask(kubectl, pod, command), pods))


def _ask(kubectl: Kubectl, pod: Pod, command: Sequence[str]) -> Answer:
    if pod.obstacle:
        return Answer(pod, failure=pod.obstacle)
    try:
        text = kubectl.ask(pod.name, *command, namespace=pod.namespace)
        return Answer(pod, json.loads(text))
    except KubectlError as error:
        return Answer(pod, failure=str(error))
    except ValueError:
        return Answer(pod, failure="its sidecar's answer is not JSON: is it of another version?")


def failures(answers: Sequence[Answer]) -> list[str]:
    """A line for each pod that could not be asked."""
    return [f"{a.pod.namespace} {a.pod.key}: {a.failure}" for a in answers if a.failure]
