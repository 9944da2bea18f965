"""The versions of everything that the node is made of; Go modules are pinned by `go.mod`."""

from __future__ import annotations

import re
from pathlib import Path

GO_MOD = Path(__file__).with_name("go.mod")
GECKODRIVER = "0.37.1"
DEBIAN = "bookworm"


def of_module(module: str) -> str:
    """The version, without its `v`, that `go.mod` requires of a Go module."""
    required = rf"^(?:require)?\s*{re.escape(module)} v(\S+)"
    found = re.search(required, GO_MOD.read_text(), re.MULTILINE)
    if found is None:
        raise LookupError(f"{GO_MOD} does not require {module}")
    return found[1]
