"""The event loop, and whether OpenSSL is there at all.

uvloop serves. With the native engine asyncio's own loop, 2 MB less, takes a tenth more CPU for a
handshake and a twentieth more for a plain request. But uvloop looks at `ssl` when it is imported,
and that is 3 MB which only `--tls-cert` is worth.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import TYPE_CHECKING

from wsroute_sidecar import lean
from wsroute_sidecar.config import Settings

if TYPE_CHECKING:
    import asyncio


def factory(settings: Settings) -> Callable[[], asyncio.AbstractEventLoop]:
    """What makes the loop; whoever calls it has imported neither asyncio nor uvloop yet."""
    needs_tls = settings.tls_cert is not None or settings.tracing  # spans may be sent with TLS
    if not needs_tls:
        lean.leave_out_openssl()
    import asyncio  # noqa: F401, PLC0415 - which can do without `ssl`

    with contextlib.nullcontext() if needs_tls else _empty_ssl():
        import uvloop  # noqa: PLC0415

    return uvloop.new_event_loop


class _NoTLS(Exception):  # noqa: N818 - it is never raised
    """In the place of each class of `ssl`."""


@contextlib.contextmanager
def _empty_ssl() -> Iterator[None]:
    """An `ssl` for uvloop, which notes some of its names for those who speak TLS."""
    left_out, empty = sys.modules["ssl"], ModuleType("ssl")
    vars(empty)["__getattr__"] = lambda name: 0 if name.startswith("SSL_ERROR_") else _NoTLS
    sys.modules["ssl"] = empty
    try:
        yield
    finally:
        sys.modules["ssl"] = left_out
