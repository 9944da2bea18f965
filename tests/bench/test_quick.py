from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.bench.figures import DIRECT, FIGURES, SHAPES

if TYPE_CHECKING:
    from pathlib import Path

OWN = "wsroute-asyncio"
ONLY_OWN = {"swap", "stall", "calm"}


@pytest.mark.skipif(not shutil.which("cargo"), reason="the load generator needs Rust")
def test_the_short_form_verifies_and_measures_everything(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.bench", "--quick", "--rounds", "1"]
    options = ["--proxies", "nginx", OWN, "--out", str(tmp_path)]
    outcome = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stderr

    report = json.loads((tmp_path / "latest.json").read_text())
    keys = {figure.key for figure in FIGURES}
    assert report["failed"] == {}
    assert set(report["samples"][OWN]) == keys
    assert set(report["samples"][DIRECT]) < keys
    assert set(report["samples"].get("nginx", keys)) >= keys - ONLY_OWN
    assert all(len(values) == 1 for values in report["samples"][OWN].values())
    for shape in SHAPES:
        assert report["samples"][OWN][f"cpu {shape.label}"][0] > 0
    assert (tmp_path / "latest.svg").read_text().startswith("<svg ")
    assert "CPU per handshake" in outcome.stdout
