"""The cache keeps whole things only, whatever happens to those who build them."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.waiting import until

from .node import cache

if TYPE_CHECKING:
    from pathlib import Path

_HALF_A_BUILD = """
import pathlib, signal
from tests.cluster.node import cache

def build(part):
    part.mkdir()
    (part / "half").touch()
    signal.pause()

cache.entry("thing", build)
"""


@pytest.fixture(autouse=True)
def _cache_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def test_what_is_there_is_not_built_again() -> None:
    entry = cache.entry("thing", lambda part: part.write_text("first"))
    assert cache.entry("thing", lambda part: part.write_text("second")) == entry
    assert entry.read_text() == "first"


def test_a_build_that_fails_leaves_no_entry() -> None:
    def fail(part: Path) -> None:
        part.mkdir()
        raise RuntimeError("no compiler")

    with pytest.raises(RuntimeError, match="no compiler"):
        cache.entry("thing", fail)
    assert not (cache.root() / "thing").exists()


def test_the_next_builder_starts_afresh_after_a_build_that_was_killed(
    pytestconfig: pytest.Config,
) -> None:
    with subprocess.Popen([sys.executable, "-c", _HALF_A_BUILD], cwd=pytestconfig.rootpath) as dead:
        until(lambda: list(cache.root().rglob("half")), "half a build", 10)
        dead.kill()

    entry = cache.entry("thing", lambda part: part.write_text("whole"))
    assert entry.read_text() == "whole"
    assert not list(cache.root().rglob("half"))
