"""Modules as far as they are used: the sidecar is in every pod, so each import counts many times.

OpenSSL is left out where nobody speaks TLS; all that would use it has a way for a Python that was
built without it.

What libraries import but need at most for something that is rare here is postponed. Such a module
is there as soon as it is imported, and empty; it is loaded when somebody asks it for a name. That
would be at once where `from module import name` stands, so POSTPONED lists those names: stand-ins
are given away for them, which do as the real things when they are called or asked for something.
tests/sidecar/test_lean.py holds what is taken for granted of the modules and of who imports them.
"""

from __future__ import annotations

import functools
import importlib.util
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, cast

if TYPE_CHECKING:
    from importlib.abc import Loader  # where Python 3.11 brings `tempfile` along

POSTPONED: Final[Mapping[str, Sequence[str]]] = {
    "aiohttp": ("__version__",),  # its `__init__` imports all of it, of which the client is 5 MB
    "aiohttp.http": ("SERVER_SOFTWARE", "WebSocketReader"),  # WebSockets of aiohttp's own
    "aiohttp.multipart": ("BodyPartReader", "MultipartReader"),
    "attr.validators": (),
    "email.header": (),
    "email.parser": ("HeaderParser",),
    "email.policy": ("HTTP",),
    "email.utils": ("_has_surrogates", "parsedate"),
    "html": ("escape",),
    "idna": (),
    "locale": (),
    "mimetypes": (),
    "msgspec._json_schema": ("schema", "schema_components"),
    "msgspec.inspect": (),
    "tempfile": ("SpooledTemporaryFile",),
    "urllib.request": ("getproxies", "proxy_bypass"),
}
"""Modules, and names that others import from them."""

PASSED_ON: Final[Mapping[str, Mapping[str, Sequence[str]]]] = {
    "aiohttp.http": {
        "aiohttp.http_exceptions": ("HttpProcessingError",),
        "aiohttp.http_parser": ("HttpRequestParser", "RawRequestMessage"),
        "aiohttp.http_writer": ("HttpVersion10", "HttpVersion11", "StreamWriter"),
    }
}
"""Names that a module has from others, which are needed and give them at once."""

_BUILTIN_HASHES: Final = ("_sha1", "_sha256" if sys.version_info < (3, 12) else "_sha2")


def leave_out_openssl() -> None:
    """Do as if Python was built without it. Its hashes stay where there are no others."""
    _leave_out("ssl")
    if all(importlib.util.find_spec(module) is not None for module in _BUILTIN_HASHES):
        _leave_out("_hashlib")


def _leave_out(module: str) -> None:
    sys.modules.setdefault(module, cast(ModuleType, None))  # so an import says ImportError


def postpone(modules: Mapping[str, Sequence[str]] = POSTPONED) -> None:
    """Have `modules` loaded at their first use, those at least that are not imported yet."""
    sys.meta_path.insert(0, _Finder(modules))


class _Finder:
    """Stands before importlib's own finders."""

    def __init__(self, modules: Mapping[str, Sequence[str]]) -> None:
        self._modules: Final = modules

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """As importlib asks each finder."""
        if fullname not in self._modules:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            postponing = _Postponing(spec.loader, self._modules[fullname])
            spec.loader = cast("Loader", postponing)
        return spec


class _Postponing:
    """Makes one module that another loader fills once it is asked for a name."""

    def __init__(self, loader: Loader, names: Sequence[str]) -> None:
        self._loader: Final = loader
        self._names: Final = names
        self._once: Final = threading.RLock()
        self._pending = True

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """As the other loader does."""
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """Leave it empty."""
        assert module.__spec__ is not None  # noqa: S101 - importlib has just set it
        module.__spec__.loader = module.__loader__ = self._loader
        names = vars(module)
        names["__getattr__"] = self._ours = functools.partial(self._missing, module)
        names.update({name: _StandIn(functools.partial(self._ours, name)) for name in self._names})
        for source, passed_on in PASSED_ON.get(module.__name__, {}).items():
            given = importlib.import_module(source)
            names.update({name: getattr(given, name) for name in passed_on})

    def _missing(self, module: ModuleType, name: str) -> Any:
        if name not in self._names:
            if name.startswith("__") and name != "__all__":
                raise AttributeError(name)  # importlib looks for such
            if _is_below(module, name):
                return importlib.import_module(f"{module.__name__}.{name}")
        names = vars(module)
        with self._once:
            if self._pending:
                self._pending = False
                self._loader.exec_module(module)
        if name in names:
            return names[name]
        if names["__getattr__"] is not self._ours:
            return names["__getattr__"](name)
        raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")


class _StandIn:
    """In the place of a name of a module that is not loaded yet."""

    __slots__ = ("_find",)

    def __init__(self, find: Callable[[], Any]) -> None:
        self._find: Final = find

    def __call__(self, *args: Any, **named: Any) -> Any:
        return self._find()(*args, **named)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._find(), name)

    def __instancecheck__(self, value: object) -> bool:
        return isinstance(value, self._find())


def _is_below(module: ModuleType, name: str) -> bool:
    """Whether `name` is a module of the package that `module` is."""
    if not hasattr(module, "__path__"):
        return False
    return importlib.util.find_spec(f"{module.__name__}.{name}") is not None
