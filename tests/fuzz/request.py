"""Fuzzes the native engine's view of a request: `python -m tests.fuzz.request --seconds 60`.

What the engine takes for a plain request to upgrade is one by the interpreter's rules, too, with
the same accept and subprotocols, and the backend gets the same head.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Sequence
from typing import Final

from tests.fuzz.fuzzing import Target, fuzz
from tests.sidecar.request_cases import CASES, STRANGER, TRUSTED, read

_TOKENS: Final = [
    *(bytes([byte]) for byte in b"\0\t\n\r\x0b\x7f\x80\xff !#%,./:;=?@_a"),
    *(b"\r\n", b"\r\n\r\n", b"GET ", b" HTTP/1.1", b"Upgrade: websocket\r\n", b"Host: a\r\n"),
    *(b"Connection: Upgrade\r\n", b"Connection: ", b"keep-alive, ", b"Content-Length: 0\r\n"),
    *(b"Sec-WebSocket-Protocol: a\r\n", b"User-Agent: a\r\n", b"Cookie: a=b\r\n", b"X: y\r\n"),
    *(b"X-Forwarded-For: a\r\n", b"Via: 1.1 a\r\n", b"Content-Type: a\r\n", b"ETag: a\r\n"),
]
_MOST: Final = 8 * 1024


def main(arguments: Sequence[str] | None = None) -> None:
    """Fuzz for a while, where the native engine is built."""
    try:
        from wsroute_sidecar._relay import Request  # noqa: PLC0415 - it may not be built
    except ImportError as error:
        print(f"the native engine's view of a request is not fuzzed: {error}")
        return
    loop = asyncio.new_event_loop()

    def check(data: bytes) -> Hashable:
        """AssertionError when the two disagree; whether each takes it for a request to upgrade."""
        found = read(data, loop)
        try:
            request = Request(data)
        except ValueError:
            return found is not None, False
        assert found is not None
        about = (request.accept, request.subprotocols, request.early, request.hostname)
        upgrade, hostname = found.upgrade, found.head.hostname
        assert about == (upgrade.accept, upgrade.subprotocols, found.early, hostname)
        for client in (STRANGER, TRUSTED):
            target, host = request.target, request.host
            assert request.head(target, host, client, b"me", "1d") == found.for_backend(
                found.head.target, found.head.host, client
            )
        return True, True

    try:
        fuzz(Target(__doc__, check, [case.head for case in CASES], _TOKENS, _MOST), arguments)
    finally:
        loop.close()


if __name__ == "__main__":
    main()
