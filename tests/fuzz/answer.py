"""Fuzzes the native engine's verdict on a 101: `python -m tests.fuzz.answer --seconds 60`.

What the engine takes for a plain 101 opens the tunnel by the interpreter's rules, too, and the
client gets the same head.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Final

from tests.fuzz.fuzzing import Target, fuzz
from tests.sidecar.answer_cases import ACCEPT, CASES, judged
from wsroute_sidecar.handshake import BadAnswer, head_end

_TOKENS: Final = [
    *(bytes([byte]) for byte in b"\0\t\n\r\x0b\x7f\x80\xff ,:;()_a"),
    *(b"\r\n", b"\r\n\r\n", b"HTTP/1.1 101", b"Upgrade: websocket\r\n", b"Connection: Upgrade\r\n"),
    *(b"Connection: ", b"Sec-WebSocket-Accept: ", b"Sec-WebSocket-Protocol: a\r\n"),
    *(b"Content-Length: 0\r\n", b"TE: a\r\n", b"x" * 66_000),
]
_MOST: Final = 70_000


def main(arguments: Sequence[str] | None = None) -> None:
    """Fuzz for a while, where the native engine is built."""
    try:
        from wsroute_sidecar._relay import opening  # noqa: PLC0415 - it may not be built
    except ImportError as error:
        print(f"the native engine's verdict is not fuzzed: {error}")
        return

    def check(data: bytes) -> Hashable:
        """AssertionError when the two disagree; whether each of them opens the tunnel."""
        try:
            head = data[: head_end(data)]
            opens = judged(head)
        except BadAnswer:
            head, opens = b"", None
        found = opening(data, ACCEPT)
        assert found in (None, opens and (*opens, len(head)))
        return opens is not None, found is not None

    fuzz(Target(__doc__, check, [case.head for case in CASES], _TOKENS, _MOST), arguments)


if __name__ == "__main__":
    main()
