"""The routes of the chart's MIGRATING.md do what it says of them, with a real sidecar."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from tests.documents.examples import objects_in
from tests.documents.values import CHART
from tests.support.backend import Backend
from tests.support.sidecar import Sidecar
from wsroute_api import contract


def route(name: str, port: int) -> dict[str, Any]:
    """A route of the document, to a backend on another port."""
    routes = [o for o in objects_in(CHART / "MIGRATING.md") if o["kind"] == contract.KIND]
    (found,) = (o for o in routes if o["metadata"]["name"] == name)
    return dict(json.loads(json.dumps(found).replace('{"port": 8080}', f'{{"port": {port}}}')))


@pytest.fixture(scope="module")
def backend() -> Iterator[Backend]:
    with Backend() as backend:
        yield backend


@pytest.fixture(scope="module")
def after_nginx(backend: Backend) -> Iterator[Sidecar]:
    with Sidecar([route("from-nginx", backend.port)]) as sidecar:
        yield sidecar


@pytest.fixture(scope="module")
def after_ingress(backend: Backend) -> Iterator[Sidecar]:
    with Sidecar([route("chat", backend.port)]) as sidecar:
        yield sidecar


def asked(sidecar: Sidecar, backend: Backend, path: str) -> tuple[int, bytes]:
    """The status of the answer, and what the backend saw of a request."""
    backend.reset()
    client = http.client.HTTPConnection("127.0.0.1", sidecar.port, timeout=20)
    with closing(client):
        client.request("GET", path, headers={"Host": "chat.example.com"})
        return client.getresponse().status, backend.received


@pytest.mark.parametrize(
    ("path", "target", "edge"),
    [("/ws/rooms/1?v=2", "/rooms/1?v=2", True), ("/ws/", "/", True), ("/about", "/about", False)],
)
def test_what_was_an_nginx_location(
    after_nginx: Sidecar, backend: Backend, path: str, target: str, edge: bool
) -> None:
    status, seen = asked(after_nginx, backend, path)
    assert status == 200
    assert seen.startswith(f"GET {target} HTTP/1.1\r\n".encode())
    assert (b"\r\nx-edge: wsroute\r\n" in seen.lower()) == edge


@pytest.mark.parametrize(
    ("path", "target"),
    [("/live/rooms/1", "/rooms/1"), ("/live", "/"), ("/live/", "/"), ("/lively", None)],
)
def test_what_was_an_ingress_with_annotations(
    after_ingress: Sidecar, backend: Backend, path: str, target: str | None
) -> None:
    status, seen = asked(after_ingress, backend, path)
    if target is None:
        assert (status, seen) == (404, b"")
    else:
        assert status == 200
        assert seen.startswith(f"GET {target} HTTP/1.1\r\n".encode())
