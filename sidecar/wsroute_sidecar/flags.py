"""The command line, read without argparse where there is nothing to explain.

That is how a sidecar starts in a pod: flags with their values, and no command. argparse and what it
brings, half a megabyte that would stay for good, comes for everything else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from wsroute_sidecar.config import FLAGS

_NAMES: Final = {f"--{name.replace('_', '-')}": name for name in FLAGS}


def read(argv: Sequence[str]) -> Mapping[str, Any]:
    """The flags by their names, and the `command` with its own; exits where argparse does."""
    if (flags := plain(argv)) is not None:
        return flags
    from wsroute_sidecar import commands  # noqa: PLC0415 - argparse

    return vars(commands.parser().parse_args(argv))


def plain(argv: Sequence[str]) -> Mapping[str, Any] | None:
    """As argparse reads it; None where it may be anything but whole flags and their values."""
    flags: dict[str, Any] = dict.fromkeys(("command", *FLAGS))
    words = iter(argv)
    for word in words:
        flag, joined, value = word.partition("=")
        if not joined:
            value = next(words, "-")
            if value.startswith("-"):
                return None
        if flag not in _NAMES:
            return None
        flags[_NAMES[flag]] = value
    return flags
