"""Running programs: their output as text, their failure as one exception that shows their words."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path


class CommandError(Exception):
    """A program ended with a status other than 0; the message has its command and its output."""


def run(
    *command: str | Path,
    stdin: str | None = None,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float | None = None,
) -> str:
    """Run a program to its end and return its standard output.

    Args:
        command: The program and its arguments.
        stdin: Text for its standard input; none means an empty one.
        cwd: The folder it runs in.
        env: Variables on top of the present environment.
        timeout: Seconds after which it is killed and `subprocess.TimeoutExpired` is raised.
    """
    done = subprocess.run(
        command,
        input=stdin or "",
        cwd=cwd,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
    )
    if done.returncode:
        words = " ".join(map(str, command))
        raise CommandError(f"{words}: status {done.returncode}\n{done.stderr}{done.stdout[-4000:]}")
    return done.stdout


def run_build(
    *command: str | Path, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> str:
    """`run` at low priority, and with all its children in namespaces that end with this program.

    So neither a process nor a mount of a killed build is in the next one's way.
    """
    contained = ("unshare", "--mount", "--pid", "--mount-proc", "--fork", "--kill-child")
    bound = ("setpriv", "--pdeathsig", "KILL", *contained)
    return run(*bound, "nice", *command, cwd=cwd, env=env)
