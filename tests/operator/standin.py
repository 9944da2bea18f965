"""Stand-in sidecars: they answer on the push port of addresses of their own, as the contract says.

Each verifies signature, audience, deadline and order, so a test that sees a table in one knows
that a real sidecar would have taken it. All of 127.0.0.0/8 is local, so each can have the real
port. They run in a thread of their own: a test may block without delaying an answer.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Coroutine, Sequence
from typing import Any, Final, Self, TypeVar

import msgspec
from aiohttp import web

from wsroute_api import contract, snapshot
from wsroute_api.types import Table

T = TypeVar("T")


class StandIn:
    """One pod's sidecar.

    Attributes:
        table: What it serves, None before the first snapshot.
        version: Epoch and sequence of the latest snapshot.
        pushes: How many requests it got.
        applied: How many of them changed what it serves.
        history: The routes that it served, by generation, each time they changed.
        answer: Status and body of its next answers, instead of its own.
        hangs: Whether it never answers.
    """

    def __init__(self, uid: str, namespace: str, keys: Sequence[str]) -> None:
        self.uid = uid
        self.namespace = namespace
        self.keys = [snapshot.public_key(key) for key in keys]
        self.table: Table | None = None
        self.version = (-1, -1)
        self.digest = ""
        self.pushes = 0
        self.applied = 0
        self.history: list[dict[str, int]] = []
        self.answer: tuple[int, dict[str, Any]] | None = None
        self.hangs = False

    @property
    def routes(self) -> dict[str, int]:
        """Generation of each route that it serves, by namespace/name."""
        return {r.key: r.generation for r in self.table.routes} if self.table else {}

    def successor(self) -> StandIn:
        """The same pod's sidecar after a restart, with an empty memory."""
        return StandIn(self.uid, self.namespace, [snapshot.key_text(key) for key in self.keys])

    def take(self, token: bytes) -> tuple[int, dict[str, Any]]:
        """Status and body of the answer to a push."""
        self.pushes += 1
        if self.answer is not None:
            return self.answer
        try:
            claims = snapshot.verify(token, self.keys)
        except snapshot.UntrustedError as error:
            return 403, {"error": str(error)}
        if claims.exp < time.time():
            return 403, {"error": "expired"}
        if claims.aud != self.uid:
            return 421, {"error": f"it is for pod {claims.aud}"}
        if claims.version <= self.version and claims.digest != self.digest:
            epoch, seq = self.version
            return 409, {"error": "older", "epoch": epoch, "seq": seq}
        try:
            table = snapshot.decode_table(claims)
        except msgspec.ValidationError as error:
            return 422, {"error": str(error)}
        if table.namespace != self.namespace:
            return 421, {"error": f"it is for namespace {table.namespace}"}
        self.version = max(self.version, claims.version)
        if claims.digest != self.digest:
            self.table, self.digest = table, claims.digest
            self.applied += 1
            self.history.append(self.routes)
        epoch, seq = self.version
        return 200, {"digest": self.digest, "epoch": epoch, "seq": seq}


class Fleet:
    """Stand-ins by address, from `with` to its end."""

    def __init__(self) -> None:
        self.pods: Final[dict[str, StandIn]] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._live, daemon=True)
        self._over = asyncio.Event()
        self._sites: dict[str, web.BaseSite] = {}
        app = web.Application(client_max_size=contract.SNAPSHOT_MAX_BYTES + 1)
        app.router.add_put(contract.SNAPSHOT_PATH, self._put)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)

    def __enter__(self) -> Self:
        self._thread.start()
        self._run(self._runner.setup())
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._runner.cleanup())
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()

    def _live(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:  # ends what still hangs
            runner.run(self._over.wait())

    def add(self, address: str, pod: StandIn) -> StandIn:
        """Have `pod` answer at `address`, in place of whoever did."""
        self.pods[address] = pod
        if address not in self._sites:
            site = self._sites[address] = web.TCPSite(self._runner, address, contract.PUSH_PORT)
            self._run(site.start())
        return pod

    def remove(self, address: str) -> None:
        """Have nobody answer at `address`."""
        del self.pods[address]
        self._run(self._sites.pop(address).stop())

    async def _put(self, request: web.Request) -> web.Response:
        assert request.transport is not None
        pod = self.pods[request.transport.get_extra_info("sockname")[0]]
        if pod.hangs:
            await asyncio.Event().wait()
        assert request.content_type == contract.SNAPSHOT_MEDIA_TYPE
        status, body = pod.take(await request.read())
        return web.json_response(body, status=status)

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)
