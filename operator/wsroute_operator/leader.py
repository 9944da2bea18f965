"""Leads while it holds the Lease: the holder pushes and writes status; every replica watches.

kubernetes.aio has an election too. It counts no transitions, cannot create its Lease in version
37, measures on the wall clock and ends when a connection fails, hence `election`.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final

from wsroute_api import log
from wsroute_operator import metrics
from wsroute_operator.election import RENEW_DEADLINE, RETRY, Candidate, Lease
from wsroute_operator.kube import ConflictError, Kube, KubeError
from wsroute_operator.objects import Json

_REQUEST_SECONDS: Final = 3.0
_CONFIRMED_SECONDS: Final = 1.0


class Leadership:
    """The Lease in the API server, and what this replica does with it."""

    def __init__(self, kube: Kube, name: str, identity: str) -> None:
        self.epoch = 0
        self._kube = kube
        self._name = name
        # A restarted replica is another candidate: its first act must count as a transition.
        self._candidate = Candidate(f"{identity}_{uuid.uuid4()}")
        self._confirmed = float("-inf")

    async def still_leading(self) -> bool:
        """Whether the Lease names this replica, asked at most once a second; False if unknown."""
        if time.monotonic() - self._confirmed > _CONFIRMED_SECONDS:
            try:
                found = await self._kube.lease(self._name)
            except KubeError:
                return False
            if _parse(found).holder != self._candidate.identity:
                return False
            self._confirmed = time.monotonic()
        return True

    async def elect(self, lead: Callable[[Leadership], Awaitable[None]]) -> None:
        """Run `lead` whenever and for as long as this replica holds the Lease, until cancelled."""
        while True:
            if await self._hold():
                await self._lead(lead)
            await asyncio.sleep(RETRY)

    async def _lead(self, lead: Callable[[Leadership], Awaitable[None]]) -> None:
        log.info("leading", lease=self._name, epoch=self.epoch)
        metrics.LEADER.set(1)
        try:
            await _first_of(self._renew(), lead(self))
        finally:
            metrics.LEADER.set(0)
            await self._release()
        log.warning("leadership_lost", lease=self._name, epoch=self.epoch)

    async def _renew(self) -> None:
        """Renew until the Lease is another's, or could not be renewed for too long."""
        renewed = time.monotonic()
        while time.monotonic() - renewed < RENEW_DEADLINE:
            await asyncio.sleep(RETRY)
            match await self._hold():
                case True:
                    renewed = time.monotonic()
                case False:
                    return

    async def _hold(self) -> bool | None:
        """Take or renew the Lease; False when it is another's, None when that is not known."""
        try:
            async with asyncio.timeout(_REQUEST_SECONDS):
                return await self._bid()
        except ConflictError:
            return None  # written by somebody since it was read
        except (KubeError, TimeoutError) as error:
            log.warning("lease_request_failed", error=str(error) or "timeout")
            return None

    async def _bid(self) -> bool:
        found = await self._kube.lease(self._name)
        bid = self._candidate.bid(_parse(found) if found else None, time.monotonic())
        if bid is None:
            return False
        await self._kube.write_lease(self._name, _rendered(found, bid))
        self.epoch = bid.transitions
        return True

    async def _release(self) -> None:
        """Let a successor take the Lease at once; where that fails it waits for the expiry."""
        try:
            async with asyncio.timeout(_REQUEST_SECONDS):
                found = await self._kube.lease(self._name)
                held = _parse(found)
                if held.holder == self._candidate.identity:
                    await self._kube.write_lease(
                        self._name, _rendered(found, Lease(transitions=held.transitions))
                    )
                    log.info("lease_released", lease=self._name, epoch=self.epoch)
        except (KubeError, TimeoutError) as error:
            log.warning("lease_not_released", error=str(error) or "timeout")


def _parse(found: Json | None) -> Lease:
    spec = (found or {}).get("spec") or {}
    return Lease(
        holder=spec.get("holderIdentity") or "",
        transitions=spec.get("leaseTransitions") or 0,
        duration=float(spec.get("leaseDurationSeconds") or 0),
        renewed=spec.get("renewTime") or "",
    )


def _rendered(found: Json | None, lease: Lease) -> Json:
    """The object that says `lease`, based on the one that was found."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    same_holder = _parse(found).holder == lease.holder
    before = (found or {}).get("spec") or {}
    spec = {
        "holderIdentity": lease.holder,
        "leaseTransitions": lease.transitions,
        "leaseDurationSeconds": int(lease.duration),
        "acquireTime": before.get("acquireTime", now) if same_holder else now,
        "renewTime": now,
    }
    return {"metadata": (found or {}).get("metadata", {}), "spec": spec}


async def _first_of(*works: Awaitable[None]) -> None:
    """Run `works` until one ends, end the others, and pass on an error."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()
