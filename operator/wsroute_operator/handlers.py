"""What kopf calls: a handler for each kind, which only passes on what it saw.

Nothing is returned and nothing is patched, so kopf writes nothing to users' objects: no finalizer,
no annotation. `on.event` is not retried, so the handlers do nothing that could fail.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from typing import Any

import kopf

from wsroute_api import contract
from wsroute_operator import metrics
from wsroute_operator.index import Item, Kind
from wsroute_operator.objects import pod_from_object, route_from_raw, version_of
from wsroute_operator.services import service_from_object

Feed = Callable[[Kind, str, Item | None, int, bool], None]
"""Takes an event: kind, UID, the object or None when it has gone, its version, whether listed."""


def registry(feed: Feed) -> kopf.OperatorRegistry:
    """The handlers, which give what they see to `feed`; it is called in kopf's own thread."""
    handlers = kopf.OperatorRegistry()

    @kopf.on.login(registry=handlers)
    async def login(settings: kopf.OperatorSettings, **_: Any) -> kopf.ConnectionInfo | None:
        if account := kopf.login_with_service_account(settings=settings):
            return dataclasses.replace(account, server=_server())
        return kopf.login_with_kubeconfig(settings=settings)

    @kopf.on.event(contract.GROUP, contract.VERSION, contract.PLURAL, registry=handlers)
    async def route(event: kopf.RawEvent, **_: Any) -> None:
        _pass_on("routes", event, route_from_raw, feed)

    @kopf.on.event("v1", "pods", registry=handlers)
    async def pod(event: kopf.RawEvent, **_: Any) -> None:
        _pass_on("pods", event, pod_from_object, feed)

    @kopf.on.event("v1", "services", registry=handlers)
    async def service(event: kopf.RawEvent, **_: Any) -> None:
        _pass_on("services", event, service_from_object, feed)

    return handlers


def _server() -> str:
    """The API server by its address, as other clients know it: kopf's own way needs a DNS."""
    host, port = (os.environ[f"KUBERNETES_SERVICE_{part}"] for part in ("HOST", "PORT"))
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"


def _pass_on(
    kind: Kind,
    event: kopf.RawEvent,
    reduce: Callable[[dict[str, Any]], Item],
    feed: Feed,
) -> None:
    metrics.EVENTS.labels(kind=kind).inc()
    obj: dict[str, Any] = dict(event["object"])
    gone = event["type"] == "DELETED"
    item = None if gone else reduce(obj)
    feed(kind, obj["metadata"]["uid"], item, version_of(obj), event["type"] is None)
