"""A change of 1,000 routes under load: how long until it is served, and what it holds up.

Standalone, a change is a new file of manifests. Every route redirects to a path that names the
file's version, which tells a plain request which version is served. The tunnels under load use a
route that stays the same.
"""

from __future__ import annotations

import http.client
import json
import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tests.bench.load import UnverifiedError
from tests.bench.proxies import manifest, wsroute_spec

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.bench.proxies import Place

ROUTES = 1_000
SWAP_SECONDS = 20.0


def _redirecting(number: int, version: int) -> dict[str, Any]:
    path = {"type": "ReplaceFullPath", "replaceFullPath": f"/{version}"}
    rule = {
        "backend": {"port": 9},
        "filters": [{"type": "RequestRedirect", "requestRedirect": {"path": path}}],
    }
    spec = {
        "selector": {"matchLabels": {"app": "echo"}},
        "hostnames": [f"host-{number}.example"],
        "rules": [rule],
    }
    return manifest(f"host-{number}", spec)


def _served(place: Place) -> str | None:
    """The version that a request to one of the routes meets."""
    connection = http.client.HTTPConnection("127.0.0.1", place.port, timeout=SWAP_SECONDS)
    try:
        connection.request("GET", "/", headers={"Host": f"host-{ROUTES - 1}.example"})
        location = connection.getresponse().getheader("Location")
    finally:
        connection.close()
    return location.rpartition("/")[2] if location else None


def prepare(place: Place, version: int) -> Path:
    """1,000 routes of a version, which `swap` puts in place."""
    echo = manifest("echo", wsroute_spec(place.backend))
    documents = [echo, *(_redirecting(number, version) for number in range(ROUTES))]
    return place.write(f"{version}", "\n---\n".join(map(json.dumps, documents)))


def swap(place: Place, routes: Path) -> float:
    """Put routes in place; seconds until they are served."""
    with _in_nobodys_way():
        start = time.monotonic()
        routes.replace(place.folder / "routes.yaml")
        while _served(place) != routes.name:
            if time.monotonic() - start > SWAP_SECONDS:
                raise UnverifiedError(f"version {routes.name} of the routes is not served")
            time.sleep(0.005)
        return time.monotonic() - start


@contextmanager
def _in_nobodys_way() -> Iterator[None]:
    """Have who only watches run where a core is idle: else it is what the load waits for."""
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    try:
        yield
    finally:
        os.sched_setscheduler(0, *before)
