"""The push port: what the operator sends is verified, and only then looked at.

Order of the checks: size, rate, signature, deadline, audience, version, tenant, content. Answers:
200 with what is in use, 403 untrusted, 409 older, 413 too large, 421 another pod's, 422 signed but
not to be served (the text says which route, where and why), 429 too many.

Before the first push a sidecar serves what it kept, and where it kept nothing what its pod was
admitted with. That is signed, too; anything that is pushed is newer.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from wsroute_api import contract, log, snapshot
from wsroute_api.snapshot import Claims, UntrustedError
from wsroute_sidecar.config import Settings
from wsroute_sidecar.flood import Limited
from wsroute_sidecar.ports import Port, Reply, Request, TooLarge, reply
from wsroute_sidecar.routes import Compiled, Unprogrammable
from wsroute_sidecar.serving import Serving
from wsroute_sidecar.turns import with_pauses

MAX_PUSHES_PER_SECOND: Final = 20

_rejected = Limited("push_rejected")


class Rejected(Exception):  # noqa: N818 - an answer to the operator
    """A snapshot that is not taken, and the status that says so."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class Snapshots:
    """Accepts snapshots in their order, and keeps the last good one beside the sidecar."""

    def __init__(self, settings: Settings, serving: Serving) -> None:
        self._keys: Final = [snapshot.public_key(text) for text in settings.public_keys]
        self._settings: Final = settings
        self._admission: Final = snapshot.admission(settings.nonce)
        self._serving: Final = serving
        self._one_by_one: Final = asyncio.Lock()
        self.current: Claims | None = None

    async def accept(self, token: bytes, now: float) -> Claims:
        """Serve the table in `token`, unless it is in use already; Rejected says why not."""
        async with self._one_by_one:
            claims = self._verified(token, self._settings.pod_uid)
            _in_time(claims, now)
            current = self.current
            if current is not None and claims.version <= current.version:
                if claims.digest == current.digest:
                    return current
                raise Rejected(409, "a newer snapshot is in use")
            if current is None or claims.digest != current.digest:
                compiled = await asyncio.to_thread(self._compile, claims)  # tunnels go on
                self._serving.swap(compiled, "push")
            self.current = claims
            _keep(self._settings.state, token)
            return claims

    def restore(self, now: float) -> None:
        """Serve the snapshot that was kept, however old, or else the one of the admission."""
        try:
            kept = self._settings.state.read_bytes()
        except OSError:
            kept = b""
        if kept and self._begin(kept, "kept snapshot", self._settings.pod_uid, self._admission):
            return
        given = self._settings.nonce and self._settings.bootstrap
        if given and self._begin(given, "bootstrap snapshot", self._admission, now=now):
            _keep(self._settings.state, given)

    def _begin(self, token: bytes, what: str, *audiences: str, now: float | None = None) -> bool:
        """Serve the table in `token` if it is a good one, and was in time at `now`."""
        try:
            claims = self._verified(token, *audiences)
            if now is not None:
                _in_time(claims, now)
            compiled = self._compile(claims)
        except Rejected as error:
            log.warning("snapshot_refused", what=what, why=str(error))
            return False
        self._serving.swap(compiled, what)
        self.current = claims
        return True

    def _verified(self, token: bytes, *audiences: str) -> Claims:
        try:
            claims = snapshot.verify(token, self._keys)
        except UntrustedError as error:
            raise Rejected(403, f"the snapshot is not trusted: {error}") from error
        if claims.aud not in audiences:
            raise Rejected(421, "the snapshot is for another pod")
        return claims

    def _compile(self, claims: Claims) -> Compiled:
        try:
            table = snapshot.decode_table(claims)
            foreign = [r.key for r in table.routes if r.namespace != self._settings.namespace]
            if table.namespace != self._settings.namespace or foreign:
                raise Rejected(421, "the snapshot is for another namespace")
            return Compiled(with_pauses(table.routes), table.ports)
        except msgspec.ValidationError as error:
            raise Rejected(422, f"this sidecar does not know it: {error}") from error
        except Unprogrammable as error:
            raise Rejected(422, str(error)) from error


def _in_time(claims: Claims, now: float) -> None:
    if claims.exp < now:
        raise Rejected(403, "the snapshot's deadline for acceptance has passed")


def _keep(path: Path, token: bytes) -> None:
    """Write whole or not at all: a crash must not leave half a snapshot."""
    temporary = path.with_suffix(".new")
    try:
        temporary.write_bytes(token)
        temporary.replace(path)
    except OSError as error:
        log.error("snapshot_not_kept", error, path=str(path))


def port(snapshots: Snapshots, serving: Serving) -> Port:
    """The push port's HTTP interface."""
    admitted: list[float] = []

    async def put(request: Request) -> Reply:
        if not _admit(admitted, time.monotonic):
            return reply(429, error="too many pushes")
        try:
            claims = await snapshots.accept(await request.read(), time.time())
        except TooLarge:
            return reply(413, error=f"larger than {contract.SNAPSHOT_MAX_BYTES} bytes")
        except Rejected as error:
            _rejected(client=request.peer, status=error.status, why=str(error))
            return reply(error.status, error=str(error), **_version(snapshots.current))
        return reply(200, **_version(claims))

    async def get(_: Request) -> Reply:
        if snapshots.current is None or serving.compiled is None:
            return reply(404, error="no snapshot yet")
        routes = {route.key: route.generation for route in serving.compiled.routes}
        return reply(200, **_version(snapshots.current), routes=routes)

    paths = {contract.SNAPSHOT_PATH: {"GET": get, "PUT": put}}
    return Port(paths, max_body=contract.SNAPSHOT_MAX_BYTES)


def _admit(admitted: list[float], clock: Callable[[], float]) -> bool:
    """A sliding window of one second."""
    now = clock()
    admitted[:] = [at for at in admitted if at > now - 1.0]
    if len(admitted) >= MAX_PUSHES_PER_SECOND:
        return False
    admitted.append(now)
    return True


def _version(claims: Claims | None) -> dict[str, Any]:
    if claims is None:
        return {}
    return {"digest": claims.digest, "epoch": claims.epoch, "seq": claims.seq}
