"""Writes the status of routes, and Events for what went wrong with them.

- One writer: the leader, by server-side apply, as the only manager of these fields.
- A change is written when the pushes it led to have an outcome, so that one write tells it all.
  An edit whose pushes take longer than a second is told of before. That a new leader, or a new
  pod's first push, has yet to find out is no news: what was said stands until then.
- At most one write a second for each generation of a route; somebody waits for what an edit leads
  to. What is equal to the status at hand is not written.
- What went wrong is told in an Event, too, once for each time that it is new.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Final

import msgspec

from wsroute_api import log
from wsroute_operator import metrics
from wsroute_operator.conditions import Finding, news
from wsroute_operator.events import Fact, of_route, tell
from wsroute_operator.kube import ConflictError, Kube, KubeError, NotFoundError
from wsroute_operator.objects import Json, RouteObject
from wsroute_operator.waits import at_most

_INTERVAL: Final = 1.0
_PATIENCE: Final = 1.0
_LONG_PATIENCE: Final = 30.0
_COALESCE: Final = 0.02
_CONCURRENCY: Final = 16
_LONGEST_PAUSE: Final = 30.0


class View(msgspec.Struct, frozen=True):
    """What a route's status should be, seen now."""

    route: RouteObject
    version: int
    """The version in which `route` was read."""
    settled: bool
    """Whether no push is under way that would change it."""
    status: Callable[[Json], Json]
    """The status, given the one before."""


Look = Callable[[str, str], View | None]
"""Sees a route, by namespace and UID; None when it has gone."""


class StatusWriter:
    """The statuses of all routes."""

    def __init__(self, kube: Kube, look: Look) -> None:
        self._kube = kube
        self._look = look
        self._slots = asyncio.Semaphore(_CONCURRENCY)
        self._scribes: dict[str, _Scribe] = {}

    def touch(self, namespace: str, uid: str, *, hurry: bool = False) -> None:
        """Something has happened that may change a route's status; `hurry` when it was edited."""
        scribe = self._scribes.get(uid)
        if scribe is None:
            look = partial(self._look, namespace, uid)
            scribe = self._scribes[uid] = _Scribe(look, self._kube, self._slots)
        scribe.touch(hurry=hurry)

    def forget(self, uid: str) -> None:
        """A route has gone."""
        if (scribe := self._scribes.pop(uid, None)) is not None:
            scribe.stop()

    def close(self) -> None:
        """Write no more."""
        for uid in list(self._scribes):
            self.forget(uid)


class _Scribe:
    """Writes one route's status, by a task that exists while there may be something to write."""

    def __init__(
        self, look: Callable[[], View | None], kube: Kube, slots: asyncio.Semaphore
    ) -> None:
        self._look = look
        self._kube = kube
        self._slots = slots
        self._touched = asyncio.Event()
        self._hurry = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._written: tuple[int, Json] = (0, {})

    def touch(self, *, hurry: bool) -> None:
        self._touched.set()
        if hurry:
            self._hurry.set()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        pause = _INTERVAL
        while self._touched.is_set():
            self._hurry.clear()
            view = await self._settled()
            if view is None:
                return
            try:
                wrote = await self._write(view)
            except (NotFoundError, ConflictError):
                metrics.STATUS_WRITES.labels(outcome="gone").inc()
                return
            except KubeError as error:
                metrics.STATUS_WRITES.labels(outcome="failed").inc()
                log.warning("status_not_written", route=view.route.key, error=str(error))
                self._touched.set()
                pause = min(2 * pause, _LONGEST_PAUSE)
            else:
                pause = _INTERVAL if wrote else _COALESCE
            await at_most(pause, self._hurry)

    async def _settled(self) -> View | None:
        """What to write, once the pushes have an outcome or have taken too long for waiting."""
        begun = time.monotonic()
        while True:
            self._touched.clear()
            view = self._look()
            if view is None or view.settled:
                return view
            edited = self._before(view).get("observedGeneration") != view.route.generation
            left = begun + (_PATIENCE if edited else _LONG_PATIENCE) - time.monotonic()
            if left <= 0:
                return view
            await at_most(left, self._touched)
            await asyncio.sleep(_COALESCE)

    def _before(self, view: View) -> Json:
        """The latest status that is known: what was written, unless something newer was read."""
        version, written = self._written
        return view.route.status if view.version > version else written

    async def _write(self, view: View) -> bool:
        """Write what differs from the latest status; whether anything did."""
        before = self._before(view)
        status = view.status(before)
        if status == before:
            return False
        async with self._slots:
            self._written = (await self._kube.apply_status(view.route, status), status)
        metrics.STATUS_WRITES.labels(outcome="written").inc()
        log.info(
            "status_written",
            route=view.route.key,
            generation=view.route.generation,
            ready=status["conditions"][-1]["reason"],
            pods=status["pods"]["summary"],
        )
        for finding in news(before, status):
            await tell(self._kube, fact(view.route, finding))
        return True


def fact(route: RouteObject, finding: Finding) -> Fact:
    """What an Event tells of `finding`."""
    return Fact(
        route.namespace,
        of_route(route),
        "Warning",
        finding.reason,
        finding.message,
        action="Program",
    )
