"""The reference of all fields, made from the schema that Kubernetes is given."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from tests.documents.values import CHART
from wsroute_api import durations, quantities
from wsroute_api.schema import custom_resource_definition
from wsroute_operator import conditions

FIELDS: Final = CHART / "FIELDS.md"

Json = dict[str, Any]

_HEAD: Final = """\
# The fields of a WebSocketRoute

Made from the types of `wsroute_api`, as are the resource itself and what
`kubectl explain wsr.spec --recursive` shows. A duration is Gateway API's, such as `30s`, `1h30m` or
`500ms`; a size is a number of bytes, such as `65536`, `64Ki` or `16Mi`.
"""
_TABLE: Final = "\n| field | type | default | |\n|---|---|---|---|\n"
_KNOWN: Final = {
    pattern.replace(r"\Z", "$"): name
    for pattern, name in ((durations.PATTERN, "duration"), (quantities.PATTERN, "size"))
}


def reference() -> str:
    """The whole document."""
    (version,) = custom_resource_definition()["spec"]["versions"]
    parts = version["schema"]["openAPIV3Schema"]["properties"]
    sections: list[tuple[list[str], Json]] = []
    for name in ("spec", "status"):
        for path, node in _objects(name, parts[name]):
            same = next((s for s in sections if s[1]["properties"] == node["properties"]), None)
            if same:
                same[0].append(path)
            else:
                sections.append(([path], node))
    return _HEAD + "".join(_section(paths, node) for paths, node in sections) + _conditions()


def _objects(path: str, node: Json) -> Iterator[tuple[str, Json]]:
    """Every object with fields, each before what it contains."""
    if "items" in node:
        yield from _objects(f"{path}[]", node["items"])
    if "properties" in node:
        yield path, node
        for name, part in node["properties"].items():
            yield from _objects(f"{path}.{name}", part)


def _section(paths: list[str], node: Json) -> str:
    required = node.get("required", [])
    more = ", ".join(f"`{path}`" for path in paths[1:])
    also = f"\nThe same: {more}.\n" if more else ""
    return f"\n## `{paths[0]}`\n{also}{_TABLE}" + "".join(
        _row(name, part, name in required) for name, part in node["properties"].items()
    )


def _row(name: str, node: Json, required: bool) -> str:
    default = "required" if required else f"`{node['default']}`" if "default" in node else ""
    rules = [_sentence(rule["message"]) for rule in node.get("x-kubernetes-validations", [])]
    about = " ".join([node.get("description", ""), *rules])
    cells = (f"`{name}`", _type(node), default, about)
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"


def _sentence(message: str) -> str:
    return f"It {message}." if message.startswith("must ") else f"{message.capitalize()}."


def _conditions() -> str:
    """The table that `conditions` opens with."""
    rows = re.findall(r"^    ([A-Z]\w+) +(.+)$", conditions.__doc__ or "", re.MULTILINE)
    return "\n## Conditions\n\n| type | True means |\n|---|---|\n" + "".join(
        f"| `{name}` | {meaning} |\n" for name, meaning in rows
    )


def _type(node: Json) -> str:
    """A type in words, with its bounds."""
    if "enum" in node:
        return ", ".join(f"`{value}`" for value in node["enum"])
    if node.get("x-kubernetes-int-or-string"):
        return "number or name"
    if "items" in node:
        most = f", at most {node['maxItems']}" if "maxItems" in node else ""
        return f"list of {_type(node['items'])}{most}"
    if "additionalProperties" in node:
        return "labels"
    if "minimum" in node:
        return f"{node['minimum']} to {node['maximum']}"
    known = _KNOWN.get(node.get("pattern", ""))
    return known or {"object": "object", "integer": "number"}.get(node["type"], "text")
