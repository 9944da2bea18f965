"""The table of values in the chart's README, made from the comments of its values.yaml."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml

CHART: Final = Path(__file__).parents[2] / "charts" / "wsroute"
README: Final = CHART / "README.md"
VALUES: Final = CHART / "values.yaml"

_KEY: Final = re.compile(r"^( *)(\w+):")
_BEGIN, _END = "<!-- values -->\n", "<!-- end of values -->\n"


class Row(NamedTuple):
    """A value that has a comment."""

    path: tuple[str, ...]
    default: Any
    comment: str


def rows(text: str) -> Iterator[Row]:
    """The commented values of a values.yaml, in its order."""
    values = yaml.safe_load(text)
    path: tuple[str, ...] = ()
    comment: list[str] = []
    for line in text.splitlines():
        if line.lstrip().startswith("#"):
            comment.append(line.lstrip(" #"))
            continue
        if key := _KEY.match(line):
            path = (*path[: len(key[1]) // 2], key[2])
            if comment:
                yield Row(path, _at(values, path), " ".join(comment))
        comment.clear()


def readme() -> str:
    """The chart's README with the table of its values between the marks."""
    head, _, rest = README.read_text("utf-8").partition(_BEGIN)
    _, _, tail = rest.partition(_END)
    lines = (
        f"| `{'.'.join(row.path)}` | `{json.dumps(row.default)}` | {row.comment} |\n"
        for row in rows(VALUES.read_text("utf-8"))
    )
    table = "| value | default | |\n|---|---|---|\n" + "".join(lines)
    return f"{head}{_BEGIN}{table}{_END}{tail}"


def _at(values: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        values = values[name]
    return values
