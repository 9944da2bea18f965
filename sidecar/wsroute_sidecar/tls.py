"""wss and https on the data port: a certificate that is read again when its files change."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Final

from wsroute_api import log

_POLL: Final = 5.0
"""Seconds between two looks at the files; a renewed certificate is valid long before it must be."""


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
