from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.cluster  # for the API server, which is built with the node's programs
def test_the_small_form_converges_and_does_nothing_twice(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.bench.scale", "--quick", "--out", str(tmp_path)]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stderr

    figures = json.loads((tmp_path / "scale.json").read_text())["figures"]
    assert figures["change, pushes"] == 10
    assert figures["restart, pushes per pod"] == 1
    for name in (
        "all objects touched, pushes",
        "all objects touched, statuses written",
        "all objects touched, Events written",
        "restart, tables changed",
        "restart, statuses written",
        "restart, Events written",
    ):
        assert figures[name] == 0, name
    assert all(f"{name} " in outcome.stdout for name in figures)
