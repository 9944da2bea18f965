"""WebSockets from the host: a handshake's answer, and traffic that never pauses."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Any, Final, Self

from websockets.datastructures import Headers
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

LIMIT: Final = 20.0
"""Seconds for anything that is awaited of a tunnel."""

_SIZES: Final = (1, 125, 126, 4096, 65536, 100_000)
_PAUSE: Final = 0.02


@contextmanager
def tunnel(url: str, **options: Any) -> Iterator[ClientConnection]:
    """An open WebSocket; `InvalidStatus` where the handshake is refused."""
    with connect(url, proxy=None, max_size=None, open_timeout=LIMIT, **options) as opened:
        yield opened


def handshake(url: str, **options: Any) -> tuple[int, Headers]:
    """The answer to a handshake: status and headers. A tunnel that begins is closed again."""
    try:
        with tunnel(url, **options) as opened:
            assert opened.response is not None
            return opened.response.status_code, opened.response.headers
    except InvalidStatus as refused:
        return refused.response.status_code, refused.response.headers


class Traffic:
    """A tunnel to an echo server that carries random messages, more and more, until it is left.

    A message that does not come back as it was sent, or an end of the tunnel, fails `more` and
    the leaving.
    """

    def __init__(self, url: str) -> None:
        self._held: Final = ExitStack()
        self._tunnel: Final = self._held.enter_context(tunnel(url, compression=None))
        self._thread: Final = threading.Thread(target=self._run)
        self._leaving: Final = threading.Event()
        self._progress: Final = threading.Condition()
        self._rounds = 0
        self._failure: Exception | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._leaving.set()
        self._thread.join()
        self._held.close()
        if self._failure and not error:
            raise self._failure

    def more(self) -> None:
        """Wait until what was sent after this call has come back."""
        with self._progress:
            wanted = self._rounds + 2  # the one that is under way began before
            moved = self._progress.wait_for(lambda: self._failure or self._rounds >= wanted, LIMIT)
        if self._failure:
            raise self._failure
        assert moved, f"no echo within {LIMIT:g} s"

    def _run(self) -> None:
        try:
            while not self._leaving.wait(_PAUSE):
                self._round()
        except Exception as failure:  # noqa: BLE001 - told to the test, in its own thread
            self._failure = failure
        with self._progress:
            self._progress.notify_all()

    def _round(self) -> None:
        sent = [secrets.token_bytes(size) for size in _SIZES]
        for message in sent:
            self._tunnel.send(message)
        received = [self._tunnel.recv(timeout=LIMIT) for _ in sent]
        assert received == sent, "what came back is not what was sent"
        with self._progress:
            self._rounds += 1
            self._progress.notify_all()
