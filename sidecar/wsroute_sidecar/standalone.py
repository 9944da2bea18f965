"""Routes from a file of manifests, without a cluster; read again whenever the file changes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

from wsroute_api import contract, log
from wsroute_api.problems import InvalidRouteError, route_from_object
from wsroute_api.types import Route, Table
from wsroute_sidecar.routes import Compiled
from wsroute_sidecar.serving import Serving

_Loader: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's is ten times as fast

_POLL: Final = 0.5
"""Seconds between two looks at the file; a mounted ConfigMap changes by swapped links."""


class Manifests:
    """The file, and what was last read from it."""

    def __init__(self, path: Path, serving: Serving) -> None:
        self._path: Final = path
        self._serving: Final = serving
        self._seen: tuple[int, int, int] | None = None

    def load(self) -> None:
        """Serve what the file says; ValueError says what is wrong with it."""
        self._seen = self._stamp()
        self._serving.swap(self._read(), str(self._path))

    async def watch(self) -> None:
        """Load again at each change; a mistake is logged, and the last good routes stay."""
        while True:
            await asyncio.sleep(_POLL)
            try:
                seen = self._stamp()
                if seen != self._seen:
                    self._seen = seen
                    compiled = await asyncio.to_thread(self._read)  # tunnels go on
                    self._serving.swap(compiled, str(self._path))
            except (OSError, ValueError) as error:
                self._seen = None if isinstance(error, OSError) else self._seen
                log.error("routes_not_loaded", path=str(self._path), why=str(error))

    def _read(self) -> Compiled:
        routes = parse(self._path.read_text(encoding="utf-8"))
        return Compiled(Table(namespace="", routes=routes))

    def _stamp(self) -> tuple[int, int, int]:
        status = self._path.stat()
        return (status.st_ino, status.st_size, status.st_mtime_ns)


def parse(text: str) -> list[Route]:
    """The WebSocketRoutes in `text`, YAML of one or more documents; ValueError names the wrong one.

    Documents of other kinds are passed over, so a file that is applied to a cluster serves as well.
    """
    try:
        documents = [document for document in yaml.load_all(text, _Loader) if document is not None]
    except yaml.YAMLError as error:
        raise ValueError(f"it is not YAML: {' '.join(str(error).split())}") from error
    return [
        _route(number, manifest)
        for number, document in enumerate(documents, start=1)
        for manifest in _manifests(document)
        if manifest.get("kind") == contract.KIND
        and manifest.get("apiVersion") == contract.API_VERSION
    ]


def _manifests(document: Any) -> Iterator[dict[str, Any]]:
    """The objects in `document`, which may be a List as `kubectl get` prints it."""
    if isinstance(document, dict):
        items = document.get("items") if document.get("kind") == "List" else [document]
        yield from (item for item in items or () if isinstance(item, dict))


def _route(number: int, manifest: dict[str, Any]) -> Route:
    try:
        return route_from_object(manifest)
    except InvalidRouteError as error:
        metadata = manifest.get("metadata")
        name = metadata.get("name") if isinstance(metadata, dict) else None
        raise ValueError(f"document {number} ({name or 'without a name'}): {error}") from error
