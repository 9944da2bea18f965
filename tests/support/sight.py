"""Output that a person sees at once, which pytest would keep."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def in_sight(config: pytest.Config) -> Iterator[None]:
    """Show what is printed at once: a person waits."""
    capture = config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        yield
