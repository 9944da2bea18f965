"""Ending many tunnels politely: at the end of the pod, or when a route asks for it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine, Iterable, Sequence
from typing import Final

from wsroute_api import log
from wsroute_sidecar.pacing import spread
from wsroute_sidecar.relay_types import CLOSE_TIMEOUT, Reason
from wsroute_sidecar.routes import Compiled
from wsroute_sidecar.tunnels import Record, Tunnels


class Drainer:
    """Sends Close frames, spread over each rule's drain window."""

    def __init__(self, tunnels: Tunnels) -> None:
        self._tunnels: Final = tunnels
        self._tasks: set[asyncio.Task[None]] = set()
        self._empty: Final = asyncio.Event()
        tunnels.when_empty(self._empty.set)

    def drain(self, *, at_once: bool = False, accept: float = 0.0) -> None:
        """End the live tunnels over their windows, or now; `accept` new ones for some seconds.

        A pod's end reaches load balancers late. Those whom they still lead here would be refused;
        taken in, they are told to go when the others lead elsewhere.
        """
        if not self._tunnels.draining:
            log.info("drain_begins", tunnels=len(self._tunnels))
        self._tunnels.draining = True
        self._end(list(self._tunnels), at_once=at_once)
        if accept:
            self._keep(self._refuse(accept))
        else:
            self._tunnels.refusing = True

    async def _refuse(self, delay: float) -> None:
        await asyncio.sleep(delay)
        self._tunnels.refusing = True
        self._end([record for record in self._tunnels if not record.leaving])

    def _end(self, records: Sequence[Record], *, at_once: bool = False) -> None:
        self._start(records, Reason.DRAIN, "pod is going away", at_once=at_once)

    async def drained(self) -> None:
        """Wait until no tunnel is left, or the longest window and its grace are over."""
        longest = max((record.policy.drain for record in self._tunnels), default=0.0)
        if len(self._tunnels):
            self._empty.clear()
            try:
                async with asyncio.timeout(longest + CLOSE_TIMEOUT + 1.0):
                    await self._empty.wait()
            except TimeoutError:
                log.warning("drain_cut_short", tunnels=len(self._tunnels))

    def routes_changed(self, table: Compiled) -> None:
        """End the tunnels whose rule is changed or gone, if the rule they opened under asks.

        Those stay whose rule is again what it was before their turn to leave came.
        """
        if self._tunnels.draining:
            return
        current = {(policy.key, policy.fingerprint) for policy in table.policies()}
        stale = []
        for record in self._tunnels:
            if (record.policy.key, record.policy.fingerprint) in current:
                record.leaving = False
            elif not record.leaving:
                stale.append(record)
        for mode in ("Drain", "Close"):
            chosen = [r for r in stale if r.policy.on_route_change == mode]
            self._start(chosen, Reason.ROUTE_CHANGE, "route has changed", at_once=mode == "Close")

    def _start(
        self, records: Sequence[Record], reason: Reason, text: str, *, at_once: bool
    ) -> None:
        if not records:
            return
        for record in records:
            record.leaving = True
        shuffled = random.sample(records, len(records))
        windows = [(record, 0.0 if at_once else record.policy.drain) for record in shuffled]
        self._keep(self._pace(spread(windows), reason, text))

    def _keep(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _pace(self, paced: Iterable[tuple[float, Record]], reason: Reason, text: str) -> None:
        begun = self._tunnels.time()
        for offset, record in paced:
            wait = begun + offset - self._tunnels.time()
            await asyncio.sleep(max(wait, 0.0))  # where there is no wait, the others' turn
            if record.leaving and record in self._tunnels:
                record.close(reason, text)
