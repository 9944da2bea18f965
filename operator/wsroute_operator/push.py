"""Brings every pod the newest table: signs, sends, retries.

A pod has a task only while something is due for it. Which table is sent is decided at the moment
of sending, so the newest wins and what was overtaken is never sent. The pushes under way are
bounded, each in time and all in number, and those that failed before have a smaller share of
their own, so that pods which hang do not hold up the others.

Only a leader has a pusher: its epoch stands in every snapshot, and a sidecar that has heard of a
later leader refuses what an earlier one still sends. For the same reason a new leader sends every
pod its table once, also to those that have it: the sidecar then only raises its version.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import aiohttp

from wsroute_api import contract, log, snapshot
from wsroute_operator import metrics
from wsroute_operator.delivery import Answer, Attempt, Delivery, Failed, Outrun, read
from wsroute_operator.keys import Keyring
from wsroute_operator.objects import Pod
from wsroute_operator.plan import PodTable
from wsroute_operator.waits import at_most

_CONCURRENCY: Final = 64
_RETRY_CONCURRENCY: Final = 32
_TIMEOUT: Final = aiohttp.ClientTimeout(total=5.0, connect=2.0)
_VALID_SECONDS: Final = 300
"""How long a sidecar may accept a snapshot: covers clocks that differ."""
_ANSWER_LIMIT: Final = 64 * 1024

_NO_COMMON_KEY: Final = Failed(
    "the pod trusts none of the operator's keys, which have been replaced since it was made: "
    "delete the pod, and its successor gets the new ones",
    lasting=True,
)
_TOO_LARGE: Final = Failed(
    f"its routes are more than {contract.SNAPSHOT_MAX_BYTES} bytes together: use fewer",
    lasting=True,
)


class Pusher:
    """The deliveries to all pods, of one leader's epoch."""

    def __init__(
        self,
        *,
        epoch: int,
        keyring: Keyring,
        changed: Callable[[Pod], None],
        still_leading: Callable[[], Awaitable[bool]],
    ) -> None:
        """`changed` is told of each outcome; `still_leading` asks the API server, not a memory."""
        self._epoch = epoch
        self._changed = changed
        self._still_leading = still_leading
        self._wire = _Wire(keyring)
        self._couriers: dict[str, dict[str, _Courier]] = {}
        self._slots = asyncio.Semaphore(_CONCURRENCY)
        self._retry_slots = asyncio.Semaphore(_RETRY_CONCURRENCY)

    async def close(self) -> None:
        """End all deliveries."""
        for namespace in list(self._couriers):
            self.want(namespace, {})
        await self._wire.close()

    def want(self, namespace: str, targets: Mapping[str, tuple[Pod, PodTable]]) -> None:
        """Have the pods of `namespace` get these tables, by the pod's UID; forget all others."""
        couriers = self._couriers.setdefault(namespace, {})
        for uid in couriers.keys() - targets.keys():
            couriers.pop(uid).stop()
        for uid, (pod, table) in targets.items():
            if (courier := couriers.get(uid)) is None:
                delivery = Delivery(pod, table, self._epoch)
                courier = couriers[uid] = _Courier(delivery, self._attempt)
            elif courier.delivery.update(pod, table):
                courier.hurry()
            courier.see_to_it()
        if not couriers:
            del self._couriers[namespace]

    def delivery(self, pod: Pod) -> Delivery | None:
        """The state of a pod's delivery, if anything is to be delivered to it."""
        courier = self._couriers.get(pod.namespace, {}).get(pod.uid)
        return courier.delivery if courier else None

    async def _attempt(self, delivery: Delivery) -> None:
        async with self._retry_slots if delivery.failure else self._slots:
            if not delivery.due:
                return
            attempt = delivery.attempt()
            with metrics.PUSH_SECONDS.time():
                answer = await self._wire.send(attempt)
        later_leader = isinstance(answer, Outrun) and answer.version[0] > self._epoch
        if later_leader and not await self._still_leading():
            answer = Failed("another replica of the operator leads")
        metrics.PUSHES.labels(outcome=type(answer).__name__.lower()).inc()
        if isinstance(answer, Failed) and answer != delivery.failure:
            pod = f"{attempt.pod.namespace}/{attempt.pod.name}"
            log.warning("push_failed", pod=pod, reason=answer.reason)
        delivery.heard(attempt, answer)
        self._changed(delivery.pod)


class _Courier:
    """The task of one delivery, which exists while something is due."""

    def __init__(self, delivery: Delivery, attempt: Callable[[Delivery], Awaitable[None]]) -> None:
        self.delivery = delivery
        self._attempt = attempt
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def see_to_it(self) -> None:
        """Start the task if something is due and it does not run."""
        if self.delivery.due and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._deliver())

    def hurry(self) -> None:
        """End a pause between two tries."""
        self._wake.set()

    def stop(self) -> None:
        """End the task."""
        if self._task is not None:
            self._task.cancel()

    async def _deliver(self) -> None:
        while self.delivery.due:
            self._wake.clear()
            await self._attempt(self.delivery)
            if self.delivery.due:
                await at_most(self.delivery.delay(random.random()), self._wake)  # noqa: S311 - jitter


class _Wire:
    """The HTTP client's side of a push."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring
        # A kept connection could lead to another pod, which got the address since.
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        self._session = aiohttp.ClientSession(connector=connector, timeout=_TIMEOUT)

    async def close(self) -> None:
        """Cut all connections."""
        await self._session.close()

    async def send(self, attempt: Attempt) -> Answer:
        """Sign and send; never raises for what the other side does."""
        pod = attempt.pod
        key = self._keyring.trusted_by(pod.sidecar.keys if pod.sidecar else ())
        if key is None:
            return _NO_COMMON_KEY
        epoch, seq = attempt.version
        now = int(time.time())
        token = snapshot.sign(
            attempt.table.encoded,
            key,
            aud=pod.uid,
            epoch=epoch,
            seq=seq,
            iat=now,
            exp=now + _VALID_SECONDS,
        )
        if len(token) > contract.SNAPSHOT_MAX_BYTES:
            return _TOO_LARGE
        try:
            return await self._put(pod.address, token)
        except TimeoutError:
            return Failed("the sidecar did not answer in time")
        except (aiohttp.ClientError, OSError) as error:
            return Failed(f"the sidecar cannot be reached: {error}")

    async def _put(self, address: str, token: bytes) -> Answer:
        host = f"[{address}]" if ":" in address else address
        async with self._session.put(
            f"http://{host}:{contract.PUSH_PORT}{contract.SNAPSHOT_PATH}",
            data=token,
            headers={"Content-Type": contract.SNAPSHOT_MEDIA_TYPE},
            allow_redirects=False,  # a pod must not choose what the operator connects to
        ) as response:
            try:
                body = await response.content.readexactly(_ANSWER_LIMIT)
            except asyncio.IncompleteReadError as whole:
                body = whole.partial
            return read(response.status, body)
