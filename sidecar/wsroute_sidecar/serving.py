"""Taking a new table into use: from a push, from the kept snapshot, or from a file."""

from __future__ import annotations

from typing import Final

from wsroute_api import log
from wsroute_sidecar.drain import Drainer
from wsroute_sidecar.routes import Compiled, Live


class Serving:
    """The way in for compiled tables: swap one reference, then look at live tunnels."""

    def __init__(self, live: Live, drainer: Drainer) -> None:
        self._live: Final = live
        self._drainer: Final = drainer

    @property
    def compiled(self) -> Compiled | None:
        """What is served now."""
        return self._live.table

    def swap(self, compiled: Compiled, source: str) -> None:
        """Serve `compiled` from now on."""
        self._live.table = compiled
        self._drainer.routes_changed(compiled)
        log.info("routes_loaded", source=source, routes=len(compiled.routes))
