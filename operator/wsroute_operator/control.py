"""What the leader does: plan each namespace that changed, have the tables pushed, write the status.

The way of a change is short and always the same: index -> plan -> push -> status. A burst of
events becomes one planning, by a pause that nobody notices.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Final

from wsroute_api import log
from wsroute_operator import conditions, metrics
from wsroute_operator.announce import Announcer
from wsroute_operator.index import Index
from wsroute_operator.keys import Keyring
from wsroute_operator.kube import Kube
from wsroute_operator.leader import Leadership
from wsroute_operator.objects import Json, Pod, RouteObject
from wsroute_operator.plan import Plan, Verdict, plan
from wsroute_operator.push import Pusher
from wsroute_operator.status import StatusWriter, View

_COALESCE: Final = 0.02
_NO_PLAN: Final = Plan(tables={}, verdicts={})


class Control:
    """One leadership, from its first plan to its end."""

    def __init__(
        self, *, index: Index, kube: Kube, keyring: Keyring, leadership: Leadership
    ) -> None:
        self._index = index
        self._plans: dict[str, Plan] = {}
        self._writer = StatusWriter(kube, self._look)
        self._announcer = Announcer(kube)
        self._pusher = Pusher(
            epoch=leadership.epoch,
            keyring=keyring,
            changed=self._pushed,
            still_leading=leadership.still_leading,
        )

    async def run(self) -> None:
        """Lead until cancelled."""
        try:
            await self._index.complete.wait()
            self._index.mark_all()
            while True:
                await self._index.changed.wait()
                await asyncio.sleep(_COALESCE)
                for namespace in self._index.take_dirty():
                    try:
                        self._replan(namespace)
                    except Exception as error:  # noqa: BLE001 - it must not stop the others
                        log.error("plan_failed", error, namespace=namespace)
                    await asyncio.sleep(0)
        finally:
            self._writer.close()
            self._announcer.close()
            await self._pusher.close()

    def _replan(self, namespace: str) -> None:
        objects = self._index.namespace(namespace)
        with metrics.PLAN_SECONDS.time():
            planned = plan(
                namespace,
                objects.routes.values(),
                objects.pods.values(),
                objects.services.values(),
            )
        earlier = self._plans.pop(namespace, _NO_PLAN)
        if planned != _NO_PLAN:
            self._plans[namespace] = planned
        self._pusher.want(
            namespace, {uid: (objects.pods[uid], table) for uid, table in planned.tables.items()}
        )
        self._announcer.see(namespace, objects.pods.values())
        for uid in earlier.verdicts.keys() - planned.verdicts.keys():
            self._writer.forget(uid)
        for uid, verdict in planned.verdicts.items():
            known = earlier.verdicts.get(uid)
            if verdict != known:
                edited = known is None or known.generation != verdict.generation
                self._writer.touch(namespace, uid, hurry=edited)

    def _pushed(self, pod: Pod) -> None:
        if (delivery := self._pusher.delivery(pod)) is not None:
            for uid in delivery.wanted.generations:
                self._writer.touch(pod.namespace, uid)

    def _look(self, namespace: str, uid: str) -> View | None:
        route = self._index.namespace(namespace).routes.get(uid)
        verdict = self._plans.get(namespace, _NO_PLAN).verdicts.get(uid)
        if route is None or verdict is None:
            return None
        reports = [
            conditions.report(route, pod, self._pusher.delivery(pod)) for pod in verdict.pods
        ]
        return View(
            route=route,
            version=self._index.version("routes", uid),
            settled=verdict.generation == route.generation and conditions.settled(reports),
            status=lambda before: _status(route, verdict, reports, before),
        )


def _status(
    route: RouteObject, verdict: Verdict, reports: list[conditions.PodReport], before: Json
) -> Json:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return conditions.status(route, verdict, reports, before=before, now=now)
