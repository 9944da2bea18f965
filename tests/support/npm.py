"""Packages of npm for the tests, installed once into a cache."""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

_CACHE: Final = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "wsroute/npm"


def modules(package: Path) -> Path:
    """The node_modules folder with what the package.json `package` asks for."""
    asked = package.read_bytes()
    folder = _CACHE / hashlib.sha256(asked).hexdigest()[:16]
    if not folder.exists():
        _CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=_CACHE) as scratch:
            fresh = Path(scratch) / folder.name
            fresh.mkdir()
            (fresh / "package.json").write_bytes(asked)
            command = "npm install --no-audit --no-fund --no-package-lock --silent"
            subprocess.run(command.split(), cwd=fresh, check=True)
            with suppress(FileExistsError):  # another run was faster
                fresh.replace(folder)
    return folder / "node_modules"
