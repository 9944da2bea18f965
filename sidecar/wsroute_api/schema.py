r"""The CustomResourceDefinition, generated from the types.

msgspec gives JSON Schema; Kubernetes wants a structural schema: no references, no nulls, no
`additionalProperties: false` (strict decoding does that), and every enum with a type. Its patterns
are RE2, where `$` is the end of the text: in Python that is `\Z`, as `$` admits a newline there.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from wsroute_api import contract
from wsroute_api.types import RouteSpec

_DROPPED: Final = frozenset({"title", "$ref", "anyOf"})


def custom_resource_definition() -> dict[str, Any]:
    """The CRD of WebSocketRoute as a plain object, ready to be written as YAML."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{contract.PLURAL}.{contract.GROUP}"},
        "spec": {
            "group": contract.GROUP,
            "names": {
                "kind": contract.KIND,
                "listKind": f"{contract.KIND}List",
                "plural": contract.PLURAL,
                "singular": contract.SINGULAR,
                "shortNames": [contract.SHORT_NAME],
                "categories": ["wsroute"],
            },
            "scope": "Namespaced",
            "versions": [_version()],
        },
    }


def _version() -> dict[str, Any]:
    return {
        "name": contract.VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": _COLUMNS,
        "schema": {
            "openAPIV3Schema": {
                "description": "WebSocketRoute declares how WebSocket and plain HTTP traffic "
                "reaches the containers of the pods that it selects.",
                "type": "object",
                "required": ["spec"],
                "properties": {
                    "apiVersion": {"type": "string"},
                    "kind": {"type": "string"},
                    "metadata": {"type": "object"},
                    "spec": spec_schema(),
                    "status": _STATUS,
                },
            }
        },
    }


def spec_schema() -> dict[str, Any]:
    """The structural schema of a route's spec."""
    (_, definitions) = msgspec.json.schema_components([RouteSpec])
    schema = _structural(definitions["RouteSpec"], definitions)
    schema["description"] = "What the route matches, and what happens then."
    return schema


def _structural(node: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """`node` with references inlined and everything dropped that Kubernetes refuses."""
    result: dict[str, Any] = {}
    if "$ref" in node:
        result |= _structural(definitions[node["$ref"].rpartition("/")[2]], definitions)
    result |= _union(node.get("anyOf", []), definitions)
    for name, value in node.items():
        if name == "properties":
            result[name] = {k: _structural(v, definitions) for k, v in value.items()}
        elif name == "items" or (name == "additionalProperties" and value):
            result[name] = _structural(value, definitions)
        elif name == "default":
            if isinstance(value, str | int) and not isinstance(value, bool):
                result[name] = value
        elif name == "pattern":
            result[name] = value.replace(r"\Z", "$")
        elif name not in _DROPPED and value is not False and value != []:
            result[name] = value
    if "enum" in result:
        result["type"] = "string" if isinstance(result["enum"][0], str) else "integer"
    return result


def _union(options: list[dict[str, Any]], definitions: dict[str, Any]) -> dict[str, Any]:
    """A union with null is an optional field; one of integer and string is Kubernetes' own."""
    present = [option for option in options if option.get("type") != "null"]
    if len(present) > 1:
        return {"x-kubernetes-int-or-string": True}
    return _structural(present[0], definitions) if present else {}


_COLUMNS: Final = [
    {
        "name": "Ready",
        "type": "string",
        "jsonPath": '.status.conditions[?(@.type=="Ready")].status',
        "description": "Whether every selected pod serves this generation of the route.",
    },
    {
        "name": "Pods",
        "type": "string",
        "jsonPath": ".status.pods.summary",
        "description": "Pods that serve this generation, of the pods that are selected.",
    },
    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    {
        "name": "Reason",
        "type": "string",
        "priority": 1,
        "jsonPath": '.status.conditions[?(@.type=="Ready")].reason',
        "description": "Why the route is ready, or not.",
    },
    {
        "name": "Hosts",
        "type": "string",
        "priority": 1,
        "jsonPath": ".spec.hostnames",
        "description": "Hosts that the route is for; none means every host.",
    },
]

_CONDITION: Final = {
    "type": "object",
    "required": ["type", "status", "reason", "message", "lastTransitionTime"],
    "properties": {
        "type": {
            "type": "string",
            "description": "Accepted, ResolvedRefs, Programmed or Ready; PartiallyInvalid and "
            "Bypassed only while there is something to say.",
        },
        "status": {
            "type": "string",
            "enum": ["True", "False", "Unknown"],
            "description": "Whether what the type says holds.",
        },
        "reason": {"type": "string", "description": "One word for machines."},
        "message": {"type": "string", "description": "What is wrong, where, and what to do."},
        "lastTransitionTime": {
            "type": "string",
            "format": "date-time",
            "description": "When the status last became another.",
        },
        "observedGeneration": {
            "type": "integer",
            "format": "int64",
            "description": "Generation of the spec that the condition is about.",
        },
    },
}

_STATUS: Final = {
    "description": "What the operator made of the route.",
    "type": "object",
    "properties": {
        "observedGeneration": {
            "type": "integer",
            "format": "int64",
            "description": "Generation of the spec that this status is about.",
        },
        "conditions": {
            "type": "array",
            "description": "Accepted, ResolvedRefs, Programmed, and their summary Ready.",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["type"],
            "items": _CONDITION,
        },
        "pods": {
            "type": "object",
            "description": "Pods of the route.",
            "properties": {
                "selected": {"type": "integer", "description": "Running pods it selects."},
                "programmed": {"type": "integer", "description": "Those that serve it."},
                "summary": {"type": "string", "description": "Both, as n/m."},
            },
        },
    },
}
