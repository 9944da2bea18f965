"""A stand-in for an API server, with Kubernetes' resource versions, for what `certstore` asks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes.aio.client import ApiClient, Configuration

Json = dict[str, Any]

SECRETS = "/api/v1/namespaces/wsroute-system/secrets"
SECRET = f"{SECRETS}/wsroute-webhook"
CONFIGURATION = (
    "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/wsroute-webhook"
)


class StandIn:
    """Objects by path; `gates` hold back answers, by method and path."""

    def __init__(self) -> None:
        self.objects: dict[str, Json] = {}
        self.failures = 0
        """How many requests are still to be answered with 503."""
        self.writes: list[tuple[str, str, int]] = []
        """Method, path and status of each request that was to write."""
        self.gates: dict[tuple[str, str], Callable[[], Awaitable[Any]]] = {}
        self._versions = 0
        self._methods = {"GET": self._get, "POST": self._post, "PATCH": self._patch}

    def put(self, path: str, obj: Json) -> Json:
        """Store `obj` under a new resource version."""
        self._versions += 1
        obj.setdefault("metadata", {})["resourceVersion"] = str(self._versions)
        self.objects[path] = obj
        return obj

    async def handle(self, request: web.Request) -> web.Response:
        """Answer as Kubernetes does."""
        body = await request.json() if request.can_read_body else {}
        if self.failures > 0:
            self.failures -= 1
            return _status(503, "ServiceUnavailable")
        response = self._methods[request.method](request.path, body)
        if request.method != "GET":
            self.writes.append((request.method, request.path, response.status))
        if gate := self.gates.get((request.method, request.path)):
            await gate()
        return response

    def _get(self, path: str, _: Json) -> web.Response:
        found = self.objects.get(path)
        return web.json_response(found) if found else _status(404, "NotFound")

    def _post(self, path: str, body: Json) -> web.Response:
        path = f"{path}/{body['metadata']['name']}"
        if path in self.objects:
            return _status(409, "AlreadyExists")
        return web.json_response(self.put(path, body), status=201)

    def _patch(self, path: str, body: Json) -> web.Response:
        found = self.objects.get(path)
        if not found:
            return _status(404, "NotFound")
        if body["metadata"]["resourceVersion"] != found["metadata"]["resourceVersion"]:
            return _status(409, "Conflict")
        return web.json_response(self.put(path, _merged(found, body)))


def _merged(old: Json, change: Json) -> Json:
    """A strategic merge as far as it is used: lists of objects are merged by name."""
    result = dict(old)
    for name, value in change.items():
        if isinstance(value, dict):
            result[name] = _merged(old.get(name, {}), value)
        elif isinstance(value, list):
            by_name: dict[str, Json] = defaultdict(dict, {e["name"]: e for e in old[name]})
            by_name |= {e["name"]: _merged(by_name[e["name"]], e) for e in value}
            result[name] = list(by_name.values())
        else:
            result[name] = value
    return result


def _status(code: int, reason: str) -> web.Response:
    return web.json_response({"kind": "Status", "code": code, "reason": reason}, status=code)


def configuration() -> Json:
    """The webhook's configuration as the chart makes it: without a caBundle."""
    service = {"name": "wsroute-webhook", "namespace": "wsroute-system", "path": "/inject"}
    return {
        "metadata": {"name": "wsroute-webhook", "uid": "5e1f"},
        "webhooks": [
            {
                "name": "inject.wsroute.dev",
                "admissionReviewVersions": ["v1"],
                "sideEffects": "None",
                "clientConfig": {"service": service},
            }
        ],
    }


@asynccontextmanager
async def stand_in() -> AsyncIterator[tuple[StandIn, ApiClient]]:
    """A stand-in that listens, with the webhook's configuration in it, and a client of it."""
    server = StandIn()
    server.put(CONFIGURATION, configuration())
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    async with TestServer(app) as listening:
        host = str(listening.make_url("")).rstrip("/")
        async with ApiClient(Configuration(host=host)) as api:
            yield server, api
