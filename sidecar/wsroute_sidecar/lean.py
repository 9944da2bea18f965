"""Modules as far as they are used: the sidecar is in every pod, so each import costs many times.

OpenSSL is left out where nobody speaks TLS; all that would use it has a way for a Python that was
built without it. aiohttp's client, a fifth of the process's memory, waits for its first use.
Whoever imports any module of a package runs the package's own `__init__` first, and aiohttp's
imports everything. Here the package is there from the start without that; its `__init__` runs when
somebody asks the package itself for a name, as who needs the client does.
"""

from __future__ import annotations

import importlib.util
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Final, cast

_BUILTIN_HASHES: Final = ("_sha1", "_sha256" if sys.version_info < (3, 12) else "_sha2")


def leave_out_openssl() -> None:
    """Do as if Python was built without it. Its hashes stay where there are no others."""
    _leave_out("ssl")
    if all(importlib.util.find_spec(module) is not None for module in _BUILTIN_HASHES):
        _leave_out("_hashlib")


def _leave_out(module: str) -> None:
    sys.modules.setdefault(module, cast(ModuleType, None))  # so an import says ImportError


def postpone(package: str) -> None:
    """Let `package` be imported without its `__init__`, until a name of it is asked for."""
    spec = importlib.util.find_spec(package)
    if package in sys.modules or spec is None:
        return
    module = importlib.util.module_from_spec(spec)
    vars(module)["__version__"] = ""  # aiohttp's own modules ask for it, to call themselves by it
    vars(module)["__getattr__"] = _first_use(module, spec)
    sys.modules[package] = module


def _first_use(module: ModuleType, spec: ModuleSpec) -> Any:
    def missing(name: str) -> Any:
        if name.startswith("__") or importlib.util.find_spec(f"{spec.name}.{name}") is not None:
            raise AttributeError(name)  # a module of it is imported for itself
        if "__getattr__" in vars(module) and spec.loader is not None:
            del vars(module)["__getattr__"]
            spec.loader.exec_module(module)
        return getattr(module, name)

    return missing
