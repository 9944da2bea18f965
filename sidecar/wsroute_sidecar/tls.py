"""wss and https on the data port: a certificate that is read again when its files change.

The TLS is asyncio's, whose buffers can be made small: uvloop's holds half a megabyte and more for
a client that stalls, and tells nobody of handshakes in progress. A client in its handshake counts
as a connection, and has HEAD_TIMEOUT for it. tests/sidecar/test_tls.py holds what is used of
asyncio's internals.
"""

from __future__ import annotations

import asyncio
import ssl
from asyncio.sslproto import SSLProtocol
from pathlib import Path
from typing import Any, Final, cast

from wsroute_api import log
from wsroute_sidecar.adapter import HEAD_TIMEOUT, Server
from wsroute_sidecar.relay_types import CLOSE_TIMEOUT

_POLL: Final = 5.0
"""Seconds between two looks at the files; a renewed certificate is valid long before it must be."""

_SSLProtocol: Any = SSLProtocol  # typeshed knows a part of it only

_PIECE: Final = 16 * 1024
"""Bytes that are read at a time: about a record."""


class Secured:
    """Makes the protocol of each new connection, and counts those whose handshake goes on."""

    def __init__(self, context: ssl.SSLContext, server: Server) -> None:
        self.context: Final = context
        self.server: Final = server
        self.handshakes: Final[set[_Connection]] = set()

    def __call__(self) -> asyncio.BaseProtocol:
        """The protocol of a new connection."""
        return _Connection(self)


class _Connection(_SSLProtocol):  # type: ignore[misc]
    """asyncio's TLS with small buffers; in a handshake it is counted."""

    max_size = _PIECE
    _below: asyncio.Transport

    def __init__(self, secured: Secured) -> None:
        self._secured: Final = secured
        super().__init__(
            asyncio.get_running_loop(),
            secured.server(),
            secured.context,
            None,
            server_side=True,
            ssl_handshake_timeout=HEAD_TIMEOUT,
            ssl_shutdown_timeout=CLOSE_TIMEOUT,
        )
        self._set_read_buffer_limits(high=1)  # read on when all of it is taken

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._secured.handshakes.add(self)
        self._below = cast(asyncio.Transport, transport)
        self._below.set_write_buffer_limits(high=1)
        super().connection_made(transport)
        if self._secured.server.overfull(len(self._secured.handshakes)):
            self._below.abort()

    def _get_write_buffer_size(self) -> int:
        """With what the connection below has not sent yet."""
        waiting: int = super()._get_write_buffer_size()
        return waiting + self._below.get_write_buffer_size()

    def _on_handshake_complete(self, handshake_exc: BaseException | None) -> None:
        self._secured.handshakes.discard(self)
        super()._on_handshake_complete(handshake_exc)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._secured.handshakes.discard(self)
        super().connection_lost(exc)


class Certificate:
    """Certificate chain and private key in PEM files, as a TLS context for a server."""

    def __init__(self, chain: Path, key: Path) -> None:
        """Load the files; OSError or ssl.SSLError when they are no certificate and its key."""
        self._files: Final = (chain, key)
        self.context: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.context.set_alpn_protocols(["http/1.1"])
        self._seen = self._stamp()
        self.context.load_cert_chain(*self._files)

    def secured(self, server: Server) -> Secured:
        """What makes `server`'s connections behind TLS."""
        return Secured(self.context, server)

    async def watch(self) -> None:
        """Load the files whenever they have changed; new handshakes use what they say."""
        while True:
            await asyncio.sleep(_POLL)
            try:
                self.reload()
            except (OSError, ssl.SSLError) as error:
                log.error("certificate_not_loaded", error, path=str(self._files[0]))

    def reload(self) -> bool:
        """Load the files if they have changed; whether they had."""
        seen = self._stamp()
        if seen == self._seen:
            return False
        self._seen = seen
        self.context.load_cert_chain(*self._files)
        log.info("certificate_loaded", path=str(self._files[0]))
        return True

    def _stamp(self) -> tuple[tuple[int, int], ...]:
        status = [path.stat() for path in self._files]
        return tuple((s.st_ino, s.st_mtime_ns) for s in status)
