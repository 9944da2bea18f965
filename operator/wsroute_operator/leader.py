"""Who leads: the holder of a Lease. The holder pushes and writes status; every replica watches.

The protocol is kubernetes.aio's. Added here: the count of transitions, which is the epoch that
orders what successive leaders sign; release of the Lease at the end, so that a successor need not
wait for its expiry; and that a failing connection is a failed try, not the end of the election.

An election by time cannot exclude that two replicas think they lead for a moment. The epoch makes
that harmless for pushes, and `still_leading` asks the API server where it matters.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Any, Final

from kubernetes.aio import client
from kubernetes.aio.leaderelection.electionconfig import Config
from kubernetes.aio.leaderelection.leaderelection import LeaderElection
from kubernetes.aio.leaderelection.leaderelectionrecord import LeaderElectionRecord
from kubernetes.aio.leaderelection.resourcelock.leaselock import LeaseLock

from wsroute_operator import log, metrics
from wsroute_operator.kube import Kube, KubeError, translated

_LEASE_SECONDS: Final = 10.0
_RENEW_DEADLINE: Final = 7.0
_RETRY_SECONDS: Final = 2.0
_REQUEST_SECONDS: Final = 3.0
_CONFIRMED_SECONDS: Final = 1.0


class Lease(LeaseLock):
    """The Lease of an election, with its transitions counted."""

    def __init__(self, kube: Kube, name: str, identity: str) -> None:
        super().__init__(name, kube.namespace, identity, kube.api)
        self.epoch = 0
        """Transitions of the Lease as this replica last wrote or read it."""
        self._confirmed = float("-inf")

    async def get(self, name: str, namespace: str) -> Any:
        """As LeaseLock's; a connection that fails is an answer like any other."""
        try:
            async with _bounded():
                return await super().get(name, namespace)
        except KubeError as error:
            return False, client.ApiException(reason=str(error))

    async def create(self, name: str, namespace: str, election_record: Any) -> bool:
        """As LeaseLock's; a connection that fails is a failure."""
        return await _succeeds(super().create(name, namespace, election_record))

    async def update(self, name: str, namespace: str, updated_record: Any) -> bool:
        """As LeaseLock's; a connection that fails is a failure."""
        return await _succeeds(super().update(name, namespace, updated_record))

    def update_lease(
        self,
        leader_election_record: LeaderElectionRecord,
        current_spec: client.V1LeaseSpec | None = None,
    ) -> client.V1LeaseSpec:
        """As LeaseLock's, and one transition more where the holder changes."""
        holder, transitions = None, self.epoch
        if current_spec is not None:
            holder, transitions = current_spec.holder_identity, current_spec.lease_transitions or 0
        spec: client.V1LeaseSpec = super().update_lease(leader_election_record, current_spec)
        # A Lease that was deleted comes back with what this replica remembers of its epoch.
        self.epoch = max(transitions + (holder != self.identity), self.epoch)
        spec.lease_transitions = self.epoch
        return spec

    async def still_leading(self) -> bool:
        """Whether the Lease names this replica, asked at most once a second."""
        if time.monotonic() - self._confirmed < _CONFIRMED_SECONDS:
            return True
        found, record = await self.get(self.name, self.namespace)
        holds = found and record is not None and record.holder_identity == self.identity
        if holds:
            self._confirmed = time.monotonic()
        return bool(holds)

    async def release(self) -> None:
        """Let a successor take the Lease at once; without an answer it waits for the expiry."""
        found, _ = await self.get(self.name, self.namespace)
        lease = self.lease_reference
        if not found or not lease or not lease.spec or lease.spec.holder_identity != self.identity:
            return
        lease.spec.holder_identity = ""
        lease.spec.lease_duration_seconds = 1
        if await _succeeds(
            self.api_instance.replace_namespaced_lease(self.name, self.namespace, lease)
        ):
            log.info("lease_released", epoch=self.epoch)


@contextlib.asynccontextmanager
async def _bounded() -> Any:
    with translated():
        async with asyncio.timeout(_REQUEST_SECONDS):
            yield


async def _succeeds(request: Awaitable[Any]) -> bool:
    try:
        async with _bounded():
            return (await request) is not False
    except KubeError as error:
        log.warning("lease_request_failed", error=str(error))
        return False


async def elect(
    kube: Kube, name: str, identity: str, lead: Callable[[Lease], Awaitable[None]]
) -> None:
    """Run `lead` whenever and as long as this replica holds the Lease `name`."""
    lease = Lease(kube, name, f"{identity}_{uuid.uuid4()}")
    election = LeaderElection(
        Config(
            lease,
            lease_duration=_LEASE_SECONDS,
            renew_deadline=_RENEW_DEADLINE,
            retry_period=_RETRY_SECONDS,
            onstarted_leading=_nothing,
            onstopped_leading=_nothing,
        )
    )
    while True:
        await election.acquire()
        log.info("leading", lease=name, epoch=lease.epoch)
        try:
            await _while_renewed(election, lead(lease))
        finally:
            metrics.LEADER.set(0)
            await lease.release()
        log.warning("leadership_lost", lease=name, epoch=lease.epoch)


async def _while_renewed(election: LeaderElection, work: Awaitable[None]) -> None:
    """Work until the Lease is lost; what ends the work ends this, errors too."""
    metrics.LEADER.set(1)
    tasks = {asyncio.ensure_future(work), asyncio.create_task(election.renew_loop())}
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


async def _nothing() -> None:
    """The callbacks that the election asks for; `elect` acquires and renews on its own."""
