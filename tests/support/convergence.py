"""Times to convergence: told where they are measured, and all together when the run ends."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

TOLD: list[str] = []
"""A line for each time that was measured in this run."""


@contextmanager
def converges(what: str, *, within: float) -> Iterator[None]:
    """Measure what it takes to leave the block, which is too slow after `within` seconds."""
    begun = time.monotonic()
    yield
    seconds = time.monotonic() - begun
    line = f"{what}: converged after {seconds:.1f} s"
    TOLD.append(line)
    print(line)
    assert seconds < within, f"{line}, not within {within:g} s"
