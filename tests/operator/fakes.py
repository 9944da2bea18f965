"""The requests of `kube.Kube`, answered from memory."""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable, Mapping

from wsroute_operator.index import KINDS, Kind
from wsroute_operator.kube import ConflictError, Kube, KubeError
from wsroute_operator.objects import Json, RouteObject


class FakeKube(Kube):
    """Objects in dicts; `away` makes every request fail."""

    def __init__(self) -> None:
        self.away = False
        self.tries = 0
        self.secrets: dict[str, dict[str, str]] = {}
        self.before_create: Callable[[], Awaitable[None]] | None = None
        self.leases: dict[str, Json] = {}
        self.listed: dict[Kind, dict[str, int]] = {kind: {} for kind in KINDS}
        self.statuses: list[Json] = []
        self.events: dict[str, Json] = {}
        self._version = 0

    async def secret(self, name: str) -> dict[str, str] | None:
        self._answer()
        return copy.copy(self.secrets.get(name))

    async def create_secret(self, name: str, data: dict[str, str]) -> None:
        self._answer()
        if self.before_create is not None:
            hook, self.before_create = self.before_create, None
            await hook()
        if name in self.secrets:
            raise ConflictError(name)
        self.secrets[name] = dict(data)

    async def patch_secret(self, name: str, data: Mapping[str, str | None]) -> None:
        self._answer()
        merged = {**self.secrets[name], **data}
        self.secrets[name] = {key: value for key, value in merged.items() if value is not None}

    async def lease(self, name: str) -> Json | None:
        self._answer()
        return copy.deepcopy(self.leases.get(name))

    async def write_lease(self, name: str, lease: Json) -> None:
        self._answer()
        known = self.leases.get(name, {}).get("metadata", {}).get("resourceVersion")
        if lease["metadata"].get("resourceVersion") != known:
            raise ConflictError(name)
        self._version += 1
        version = {"resourceVersion": str(self._version)}
        self.leases[name] = {"metadata": version, "spec": lease["spec"]}

    async def versions(self, kind: Kind) -> dict[str, int]:
        self._answer()
        return dict(self.listed.get(kind, {}))

    async def apply_status(self, route: RouteObject, status: Json) -> int:
        self._answer()
        self.statuses.append(status)
        self._version += 1
        return 1000 + self._version

    async def create_event(self, namespace: str, event: Json) -> None:
        self._answer()
        name = f"{namespace}/{event['metadata']['name']}"
        if name in self.events:
            raise ConflictError(name)
        self.events[name] = event

    def _answer(self) -> None:
        self.tries += 1
        if self.away:
            raise KubeError("away")
