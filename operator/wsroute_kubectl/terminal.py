"""What a person sees. Names and texts of others are shown, and never obeyed by the terminal."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from wsroute_api import log

_LEAST: Final = 30
"""Columns that a wrapped text has at least."""


def show(text: str, *, fitting: bool = False) -> None:
    """Print `text`, of one or more lines, as the answer; `fitting`, as much as a screen takes."""
    erase()
    lines = [log.escaped(line) for line in text.split("\n")]
    if fitting and sys.stdout.isatty():
        height = os.get_terminal_size(sys.stdout.fileno()).lines - 1
        if len(lines) > height:
            lines[height - 1 :] = [f"... and {len(lines) - height + 1} more"]
    print("\n".join(lines), flush=True)


def note(text: str) -> None:
    """Tell a person, beside the answer, what there is to know of it."""
    erase()
    print(log.escaped(text), file=sys.stderr, flush=True)


def complain(failures: Iterable[str]) -> int:
    """Print each of `failures` as a line on standard error; the exit status that follows."""
    status = 0
    for failure in failures:
        note(f"kubectl-wsroute: {failure}")
        status = 1
    return status


def progress(text: str) -> None:
    """Tell a person who waits what for, until there is something else; a script is not told."""
    if sys.stderr.isatty():
        width = os.get_terminal_size(sys.stderr.fileno()).columns
        print(f"\r\033[K{log.escaped(text)[: width - 1]}", end="", file=sys.stderr, flush=True)


def erase() -> None:
    """Take back what `progress` told."""
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr, flush=True)


def clear() -> None:
    """Make room for the next picture: an empty screen, or an empty line in a file."""
    erase()
    if sys.stdout.isatty():
        print("\033[H\033[2J", end="")
    else:
        print()


def wrapped(rows: Sequence[Sequence[str]]) -> Sequence[Sequence[str]]:
    """`rows` with the last cells broken into lines that fit the terminal, if there is one."""
    if not sys.stdout.isatty():
        return rows
    width = os.get_terminal_size(sys.stdout.fileno()).columns
    return list(_broken(rows, width))


def _broken(rows: Sequence[Sequence[str]], width: int) -> Iterator[Sequence[str]]:
    before = sum(2 + max(map(len, column)) for column in list(zip(*rows, strict=True))[:-1])
    wrapper = textwrap.TextWrapper(
        max(_LEAST, width - before), break_long_words=False, break_on_hyphens=False
    )
    for *cells, text in rows:
        first, *rest = wrapper.wrap(text) or [""]
        yield [*cells, first]
        yield from ([*("" for _ in cells), line] for line in rest)
