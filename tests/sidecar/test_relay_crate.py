from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

CRATE: Final = Path(__file__).parents[2] / "sidecar" / "relay"


@pytest.mark.skipif(
    not (shutil.which("cargo") or os.environ.get("CI")), reason="the engine's crate needs Rust"
)
def test_the_crates_own_tests_pass() -> None:
    command = ["cargo", "test", "--quiet", "--no-default-features"]  # which would need libpython
    outcome = subprocess.run(command, cwd=CRATE, capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
