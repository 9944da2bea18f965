"""The examples in what people read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import yaml

_BLOCK: Final = re.compile(r"^```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def objects_in(path: Path) -> list[dict[str, Any]]:
    """The whole objects in the YAML of a document; fragments are only parsed."""
    blocks = _BLOCK.findall(path.read_text("utf-8"))
    parts = [part for block in blocks for part in yaml.safe_load_all(block)]
    return [part for part in parts if "kind" in part]
