"""Progress for a person who waits: one line when a step starts, one with its time when it ends."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

STARTED = time.monotonic()


def say(text: str) -> None:
    """Print one line to standard error, after the seconds since the program's start."""
    print(f"[{time.monotonic() - STARTED:6.1f} s] {text}", file=sys.stderr, flush=True)


@contextmanager
def step(name: str) -> Iterator[None]:
    """Announce a step, and its duration when it ends well."""
    say(f"{name} ...")
    begun = time.monotonic()
    yield
    say(f"{name}: {time.monotonic() - begun:.1f} s")
