"""Asking many sidecars at the same time."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from typing import Any, Final

from wsroute_kubectl import terminal
from wsroute_kubectl.kubectl import Kubectl, KubectlError
from wsroute_kubectl.pods import Pod

_AT_ONCE: Final = 16
"""Each is a kubectl process and a connection to the API server."""
_NAMED: Final = 3
"""How many pods with the same failure are named before they are only counted."""
_FORBIDDEN: Final = "you may not ask its sidecar: a role with create on pods/exec lets you"


@dataclass(frozen=True)
class Answer:
    """What one pod's sidecar said, or why it said nothing."""

    pod: Pod
    said: Any = None
    failure: str = ""


def ask(kubectl: Kubectl, pods: Sequence[Pod], *command: str) -> list[Answer]:
    """The answer of each pod, in their order, to a command that prints JSON."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        asked = [pool.submit(_ask, kubectl, pod, command) for pod in pods]
        answered = as_completed(asked)
        try:
            for number in range(len(pods)):
                terminal.progress(f"{number} of {len(pods)} pods have answered ...")
                next(answered)
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return _explained(kubectl, [done.result() for done in asked])


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


def _explained(kubectl: Kubectl, answers: Sequence[Answer]) -> list[Answer]:
    """`answers` where a right that the user lacks stands for what kubectl said of each pod."""
    asked = [answer for answer in answers if not answer.pod.obstacle]
    silent = {a.pod.namespace for a in asked} - {a.pod.namespace for a in asked if not a.failure}
    closed = {namespace for namespace in silent if not kubectl.may_ask(namespace)}
    return [
        replace(a, failure=a.pod.obstacle or _FORBIDDEN) if a.pod.namespace in closed else a
        for a in answers
    ]


def failures(answers: Sequence[Answer]) -> Iterator[str]:
    """A line for the pods of a namespace that could not be asked for the same reason."""
    alike: dict[tuple[str, str], list[str]] = defaultdict(list)
    for answer in answers:
        if answer.failure:
            alike[answer.pod.namespace, answer.failure].append(answer.pod.key)
    for (namespace, failure), keys in alike.items():
        more = f" and {len(keys) - _NAMED} more" if len(keys) > _NAMED else ""
        yield f"{namespace} {', '.join(keys[:_NAMED])}{more}: {failure}"
