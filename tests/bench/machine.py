"""What the figures were measured on, in words."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from pathlib import Path


def _field(path: str, name: str) -> str:
    lines = (line.partition(":") for line in Path(path).read_text().splitlines())
    return next((value.strip() for key, _, value in lines if key.strip() == name), "?")


def machine() -> str:
    """Processor, cores, memory, kernel, Python."""
    gibibytes = int(_field("/proc/meminfo", "MemTotal").split()[0]) / 1024**2
    parts = (
        _field("/proc/cpuinfo", "model name"),
        f"{len(os.sched_getaffinity(0))} cores",
        f"{gibibytes:.0f} GiB",
        f"Linux {platform.release()}",
        f"Python {platform.python_version()}",
    )
    return ", ".join(parts)


def load_average() -> float:
    """How many tasks ran or waited for a core over the last minute."""
    return os.getloadavg()[0]


def version(program: Path, flag: str) -> str:
    """What a program says of its version."""
    said = subprocess.run([program, flag], capture_output=True, text=True, check=True)
    found = re.search(r"\d+\.\d+\.\d+", said.stdout + said.stderr)
    return found[0] if found else "?"
