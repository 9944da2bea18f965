"""The API server as the operator's own parts use it: status, Events, Secrets and lists.

Objects stay plain dicts wherever they are a user's: a model would drop the fields it does not
know. Every request is bounded in time. What fails raises `KubeError`, whatever the layer.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

import aiohttp
import msgspec
from kubernetes.aio import client, config
from kubernetes.aio.client import rest

from wsroute_api import contract
from wsroute_operator.index import Kind
from wsroute_operator.objects import Json, RouteObject, version_of

FIELD_MANAGER: Final = "wsroute"
TIMEOUT: Final = 10.0
"""Seconds for one request to the API server."""
SELECTOR: Final = f"{contract.INJECT_LABEL}=true"
"""The pods that concern the operator."""

_LEASES: Final = ("coordination.k8s.io", "v1", "leases")
_PAGE: Final = 500
_METADATA_ONLY: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


class KubeError(Exception):
    """A request to the API server did not succeed; it may, later."""


class NotFoundError(KubeError):
    """The object is not there (any more)."""


class ConflictError(KubeError):
    """The object is there already, or is another one."""


class _Fresh(rest.RESTClientObject):
    """Uses each connection once."""

    def _create_connector(self) -> aiohttp.TCPConnector:
        return aiohttp.TCPConnector(ssl=self.ssl_context, force_close=True)


class _Metadata(msgspec.Struct, rename="camel"):
    uid: str
    resource_version: str


class _Item(msgspec.Struct):
    metadata: _Metadata


class _ListMetadata(msgspec.Struct):
    token: str = msgspec.field(default="", name="continue")


class _Page(msgspec.Struct):
    """A page of a list. Of large clusters it has megabytes, nearly all of which are skipped."""

    metadata: _ListMetadata
    items: list[_Item] | None = None


@asynccontextmanager
async def connect(*, fresh: bool = False) -> AsyncIterator[client.ApiClient]:
    """A client with the service account's credentials, or, outside of a cluster, kubectl's.

    Kept connections may have died without a word, and each costs a request its whole time limit
    before another one is tried. With `fresh`, none is kept.
    """
    configuration = client.Configuration()
    if "KUBERNETES_SERVICE_HOST" in os.environ:
        config.load_incluster_config(configuration)  # type: ignore[no-untyped-call]
    else:
        await config.load_kube_config(  # type: ignore[no-untyped-call]
            client_configuration=configuration
        )
    async with client.ApiClient(configuration) as api:
        if fresh:
            api.rest_client = _Fresh(configuration)
        yield api


@contextmanager
def translated() -> Iterator[None]:
    """Turn what the client and its transport raise into `KubeError`."""
    try:
        yield
    except client.ApiException as error:
        kind = {404: NotFoundError, 409: ConflictError}.get(error.status, KubeError)
        raise kind(_message(error)) from error
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise KubeError(str(error) or type(error).__name__) from error


def _message(error: client.ApiException) -> str:
    """The API server's own words."""
    try:
        return str(json.loads(error.body or "")["message"])
    except (TypeError, ValueError, KeyError):
        return f"{error.status} {error.reason}"


class Kube:
    """The requests that the operator makes beside its watches."""

    def __init__(self, api: client.ApiClient, namespace: str) -> None:
        """`namespace` is the operator's own."""
        self.api = api
        self.namespace = namespace
        self._core = client.CoreV1Api(api)
        self._custom = client.CustomObjectsApi(api)

    async def apply_status(self, route: RouteObject, status: Json) -> int:
        """Make `status` the route's and return its new version; ConflictError if it was replaced.

        The UID is a precondition: a route that has the name of an earlier one keeps its own.
        """
        with translated():
            applied: Any = await self._custom.patch_namespaced_custom_object_status(
                contract.GROUP,
                contract.VERSION,
                route.namespace,
                contract.PLURAL,
                route.name,
                {
                    "apiVersion": contract.API_VERSION,
                    "kind": contract.KIND,
                    "metadata": {
                        "name": route.name,
                        "namespace": route.namespace,
                        "uid": route.uid,
                    },
                    "status": status,
                },
                field_manager=FIELD_MANAGER,
                force=True,
                _content_type="application/apply-patch+yaml",
                _request_timeout=TIMEOUT,
            )
        return version_of(applied)

    async def create_event(self, namespace: str, event: Json) -> None:
        """Post an Event; ConflictError if one of its name is there."""
        with translated():
            await self._custom.create_namespaced_custom_object(
                "events.k8s.io", "v1", namespace, "events", event, _request_timeout=TIMEOUT
            )

    async def lease(self, name: str) -> Json | None:
        """A Lease of the operator's namespace, or None."""
        group, version, plural = _LEASES
        try:
            with translated():
                found: Any = await self._custom.get_namespaced_custom_object(
                    group, version, self.namespace, plural, name, _request_timeout=TIMEOUT
                )
        except NotFoundError:
            return None
        return dict(found)

    async def write_lease(self, name: str, lease: Json) -> None:
        """Write a Lease; ConflictError unless it is still of the version that `lease` has."""
        group, version, plural = _LEASES
        with translated():
            if "resourceVersion" in lease["metadata"]:
                await self._custom.replace_namespaced_custom_object(
                    group, version, self.namespace, plural, name, lease, _request_timeout=TIMEOUT
                )
            else:
                body = {**lease, "metadata": {"name": name}}
                await self._custom.create_namespaced_custom_object(
                    group, version, self.namespace, plural, body, _request_timeout=TIMEOUT
                )

    async def secret(self, name: str) -> dict[str, str] | None:
        """The data of a Secret of the operator's namespace, each value in base64."""
        try:
            with translated():
                secret = await self._core.read_namespaced_secret(
                    name, self.namespace, _request_timeout=TIMEOUT
                )
        except NotFoundError:
            return None
        return {key: str(value) for key, value in (secret.data or {}).items()}

    async def create_secret(self, name: str, data: dict[str, str]) -> None:
        """Make a Secret in the operator's namespace; ConflictError if it is there."""
        body = client.V1Secret(metadata=client.V1ObjectMeta(name=name), data={**data})
        with translated():
            await self._core.create_namespaced_secret(
                self.namespace, body, _request_timeout=TIMEOUT
            )

    async def patch_secret(self, name: str, data: Mapping[str, str | None]) -> None:
        """Set entries of a Secret of the operator's namespace, in base64; None takes one out."""
        with translated():
            await self._core.patch_namespaced_secret(
                name,
                self.namespace,
                {"data": dict(data)},
                _content_type="application/merge-patch+json",
                _request_timeout=TIMEOUT,
            )

    async def versions(self, kind: Kind) -> dict[str, int]:
        """Version by UID of all objects of a kind, from one consistent list."""
        found: dict[str, int] = {}
        token: str | None = None
        while True:
            page = await self._page(kind, token)
            for item in page.items or ():
                found[item.metadata.uid] = int(item.metadata.resource_version)
            token = page.metadata.token
            if not token:
                return found

    async def _page(self, kind: Kind, token: str | None) -> _Page:
        options: Json = {
            "limit": _PAGE,
            "_continue": token,
            "_headers": {"Accept": _METADATA_ONLY},
            "_request_timeout": TIMEOUT,
        }
        with translated():
            if kind == "pods":
                response = await self._core.list_pod_for_all_namespaces_without_preload_content(
                    label_selector=SELECTOR, **options
                )
            elif kind == "services":
                response = await self._core.list_service_for_all_namespaces_without_preload_content(
                    **options
                )
            else:
                response = await self._custom.list_cluster_custom_object_without_preload_content(
                    contract.GROUP, contract.VERSION, contract.PLURAL, **options
                )
            body = await response.read()
        if response.status != 200:
            raise KubeError(f"list of {kind}: HTTP status {response.status}")
        return msgspec.json.decode(body, type=_Page)
