"""What a person sees. Names and texts of others are shown, and never obeyed by the terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from wsroute_api import log


def show(text: str) -> None:
    """Print `text`, of one or more lines, as the answer."""
    print("\n".join(map(log.escaped, text.split("\n"))), flush=True)


def complain(failures: Iterable[str]) -> int:
    """Print each of `failures` as a line on standard error; the exit status that follows."""
    status = 0
    for failure in failures:
        print(f"kubectl-wsroute: {log.escaped(failure)}", file=sys.stderr, flush=True)
        status = 1
    return status


def progress(text: str) -> None:
    """Tell a person who waits what for; a script is not told."""
    if sys.stderr.isatty():
        print(log.escaped(text), file=sys.stderr, flush=True)


def clear() -> None:
    """Make room for the next picture: an empty screen, or an empty line in a file."""
    if sys.stdout.isatty():
        print("\033[H\033[2J", end="")
    else:
        print()
