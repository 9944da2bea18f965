"""One sidecar and one backend for all cases, and what every case must leave behind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.backend import Backend
from tests.support.sidecar import Sidecar, free_ports, routes_of
from tests.support.waiting import until

IDLE_POOL = 5.0
"""Seconds after which the sidecar has closed connections to the backend that it keeps."""


def rule(port: int, path: str, **more: Any) -> dict[str, Any]:
    match = {"path": {"type": "PathPrefix", "value": path}}
    return {"matches": [match], "backend": {"port": port}, **more}


@pytest.fixture(scope="session")
def recorder() -> Iterator[Backend]:
    with Backend() as running:
        yield running


@pytest.fixture(scope="session")
def running(recorder: Backend) -> Iterator[Sidecar]:
    port, (dead,) = recorder.port, free_ports(1)
    soon = {"handshake": "400ms", "request": "400ms"}
    redirect = {"type": "RequestRedirect", "requestRedirect": {"hostname": "b.example"}}
    rules = [
        rule(port, "/"),
        rule(port, "/admin", upgrade="Disabled"),
        rule(port, "/ws", upgrade="Required"),
        rule(port, "/origin", allowedOrigins=["https://*.example.com"]),
        rule(port, "/soon", timeouts=soon),
        rule(dead, "/dead"),
        rule(port, "/moved", filters=[redirect]),
    ]
    only = [rule(port, "/")]
    routes = [routes_of(rules), routes_of(only, name="named", hostnames=["named.example"])]
    with Sidecar(routes) as sidecar:
        yield sidecar
        assert sidecar.stop() == 0


@pytest.fixture
def backend(recorder: Backend) -> Backend:
    recorder.reset()
    return recorder


@pytest.fixture(autouse=True)
def sidecar(running: Sidecar, recorder: Backend) -> Iterator[Sidecar]:
    """The sidecar; after each case it has the descriptors of before, and no error in its log."""
    before, lines = running.descriptors(), len(running.log)
    yield running
    recorder.reset()
    until(lambda: running.descriptors() <= before, seconds=IDLE_POOL + 5)
    faults = [line for line in running.log[lines:] if line["level"] not in ("info", "debug")]
    assert faults == []
