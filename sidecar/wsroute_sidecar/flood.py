"""Log lines that anybody may cause: a flood of them costs a line a second, with a count."""

from __future__ import annotations

import time

from wsroute_api import log


class Limited:
    """At most one line a second of one kind, with how many were left out."""

    def __init__(self, event: str) -> None:
        self._event = event
        self._next = 0.0
        self._left_out = 0

    def __call__(self, **fields: object) -> None:
        """Log `fields`, or count them."""
        now = time.monotonic()
        if now < self._next:
            self._left_out += 1
            return
        self._next = now + 1.0
        extra = {"left_out": self._left_out} if self._left_out else {}
        self._left_out = 0
        log.info(self._event, **fields, **extra)
