from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    ("command", "prog"),
    [
        ("wsroute-sidecar", "wsroute-sidecar"),
        ("wsroute-operator", "wsroute-operator"),
        ("kubectl-wsroute", "kubectl wsroute"),
    ],
)
def test_each_command_tells_its_version(command: str, prog: str) -> None:
    program = Path(sys.executable).with_name(command)
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    assert re.fullmatch(rf"{prog} \d+\.\d+\.\d+\n", said.stdout)
