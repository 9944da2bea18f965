"""Tells what became of the injection of pods, by Events.

- Injected: on the pod's owner, or on the pod where it has none; once for each version that an
  owner's pods get. Only of young pods: a new leader has no news of those that were there before.
- InjectionSkipped: a pod asks for a sidecar and runs without. On the owner once, and on each such
  pod with the reason and what to do; its routes' status names it, too.

A pod that is refused needs no Event of ours: whoever made it is told, and where that was a
controller, its own Event on the owner quotes the refusal.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from wsroute_operator.events import Fact, of_pod, tell
from wsroute_operator.kube import Kube
from wsroute_operator.objects import Pod

_YOUNG: Final = timedelta(minutes=10)
_SOME: Final = "Some of its pods ask for a sidecar and have none: each has an Event that says why."


def facts(pods: Iterable[Pod], since: str) -> Iterator[Fact]:
    """What there is to tell of `pods`; those made before `since` (RFC 3339) are not young."""
    for pod in pods:
        if not pod.live:
            continue
        if pod.sidecar is None:
            yield Fact(
                pod.namespace,
                of_pod(pod),
                "Warning",
                "InjectionSkipped",
                f"The pod {pod.obstacle}.",
            )
            if pod.owner:
                yield Fact(pod.namespace, pod.owner, "Warning", "InjectionSkipped", _SOME)
        elif pod.created >= since:
            note = f"The sidecar of wsroute {pod.stamp} was put in."
            yield Fact(pod.namespace, pod.owner or of_pod(pod), "Normal", "Injected", note)


class Announcer:
    """Posts an Event for each fact that is new, one after the other."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube
        self._told: dict[str, set[Fact]] = {}
        self._due: deque[Fact] = deque()
        self._task: asyncio.Task[None] | None = None

    def see(self, namespace: str, pods: Iterable[Pod]) -> None:
        """Look at all pods of a namespace."""
        since = (datetime.now(UTC) - _YOUNG).strftime("%Y-%m-%dT%H:%M:%SZ")
        told = self._told.pop(namespace, set())
        if found := set(facts(pods, since)):
            self._told[namespace] = found
        self._due.extend(found - told)
        if self._due and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._tell())

    def close(self) -> None:
        """Tell no more."""
        if self._task is not None:
            self._task.cancel()

    async def _tell(self) -> None:
        while self._due:
            await tell(self._kube, self._due.popleft())
