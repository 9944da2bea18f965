from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.bench.figures import DIRECT, FIGURES, SHAPES

if TYPE_CHECKING:
    from pathlib import Path

OWN = ["wsroute-asyncio", "wsroute-native"]
BUILT = OWN if importlib.util.find_spec("wsroute_sidecar._relay") else OWN[:1]
ONLY_OWN = {"swap", "stall"}


@pytest.mark.skipif(not shutil.which("cargo"), reason="the load generator needs Rust")
def test_the_short_form_verifies_and_measures_everything(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.bench", "--quick", "--rounds", "1"]
    options = ["--proxies", "nginx", *OWN, "--out", str(tmp_path)]
    outcome = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stderr

    report = json.loads((tmp_path / "latest.json").read_text())
    samples = report["samples"]
    keys = {figure.key for figure in FIGURES}
    assert report["failed"] == {}
    assert samples.keys() - {"nginx"} == {DIRECT, *BUILT}
    assert set(samples[DIRECT]) < keys
    assert set(samples.get("nginx", keys)) >= keys - ONLY_OWN
    for name in BUILT:
        assert set(samples[name]) == keys
        assert all(len(values) == 1 for values in samples[name].values())
        assert all(samples[name][f"cpu {shape.label}"][0] > 0 for shape in SHAPES)
    assert (tmp_path / "latest.svg").read_text().startswith("<svg ")
    assert "CPU per handshake" in outcome.stdout
