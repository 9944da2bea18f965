"""Routes in YAML, as people write them and `kubectl get --output=yaml` prints them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import yaml

from wsroute_api import contract
from wsroute_api.problems import InvalidRouteError, route_from_object
from wsroute_api.types import Route

_Loader: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's is ten times as fast
_DEPTH: Final = 100
_ROUTE: Final = (contract.KIND, contract.API_VERSION)


def parse(text: str) -> Iterator[Route]:
    """The WebSocketRoutes in `text`, YAML of one or more documents, each read when it is asked for.

    ValueError, when its turn comes, names the document that is wrong. Documents of other kinds are
    passed over, so a file that is applied to a cluster serves as well.
    """
    for number, document in enumerate(_documents(text), start=1):
        for manifest in _manifests(document):
            if (manifest.get("kind"), manifest.get("apiVersion")) == _ROUTE:
                yield _route(number, manifest)


def _documents(text: str) -> Iterator[Any]:
    try:
        for _, document in zip(_shallow(text), yaml.load_all(text, _Loader), strict=True):
            if document is not None:
                yield document
    except yaml.YAMLError as error:
        raise ValueError(f"it is not YAML: {' '.join(str(error).split())}") from error


def _shallow(text: str) -> Iterator[None]:
    """An item for each document that is safe to load.

    ValueError beyond _DEPTH: libyaml composes by recursion, until the process crashes.
    """
    depth = 0
    for event in yaml.parse(text, _Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > _DEPTH:
                raise ValueError(f"it is nested more than {_DEPTH} levels deep")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.DocumentEndEvent):
            yield


def _manifests(document: Any) -> Iterator[dict[str, Any]]:
    """The objects in `document`, which may be a List as `kubectl get` prints it."""
    if isinstance(document, dict):
        items = document.get("items") if document.get("kind") == "List" else [document]
        if isinstance(items, list):
            yield from (item for item in items if isinstance(item, dict))


def _route(number: int, manifest: dict[str, Any]) -> Route:
    try:
        return route_from_object(manifest)
    except InvalidRouteError as error:
        metadata = manifest.get("metadata")
        name = metadata.get("name") if isinstance(metadata, dict) else None
        raise ValueError(f"document {number} ({name or 'without a name'}): {error}") from error
