"""Routes from a file of manifests, without a cluster; read again whenever the file changes."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from wsroute_api import log, manifests
from wsroute_sidecar.routes import Compiled
from wsroute_sidecar.serving import Serving
from wsroute_sidecar.turns import with_pauses

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
        routes = manifests.parse(self._path.read_text(encoding="utf-8"))
        return Compiled(with_pauses(routes), {})

    def _stamp(self) -> tuple[int, int, int]:
        status = self._path.stat()
        return (status.st_ino, status.st_size, status.st_mtime_ns)
