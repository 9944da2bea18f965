"""Whether this machine can run the node at all."""

from __future__ import annotations

import os
import shutil
import sys

from . import layout, processes
from .shell import CommandError, run

_TOOLS = ("apt-get", "go", "cargo", "git", "openssl", "unshare", "setpriv")


def why_not() -> str | None:
    """One line that says what the machine lacks to run the node; none if it can run it."""
    if lack := _lack():
        return f"the Kubernetes node cannot run here: {lack}"
    return None


def _lack() -> str | None:
    if sys.platform != "linux":
        return f"it needs Linux, and this is {sys.platform}"
    if os.geteuid() != 0:
        return "it needs root"
    if missing := [tool for tool in _TOOLS if shutil.which(tool) is None]:
        return f"not installed: {', '.join(missing)}"
    try:
        run("unshare", "--mount", "--net", "true")
    except CommandError:
        return "root may not make namespaces (an unprivileged container?)"
    if processes.members(processes.PODS) and not layout.WORK.exists():
        return "another kubelet has pods on this machine"
    return None
