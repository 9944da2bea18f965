"""The flag `--version` of all commands: they come from one distribution."""

from __future__ import annotations

import argparse
from typing import Any


class Version(argparse.Action):
    """Print the command's name and version, and exit."""

    def __init__(self, option_strings: list[str], dest: str, **_: Any) -> None:
        none = argparse.SUPPRESS  # it is no value that is parsed
        super().__init__(option_strings, none, 0, default=none, help="show the version and exit")

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        """Do so."""
        from importlib import metadata  # noqa: PLC0415 - whoever serves has no use for it

        print(f"{parser.prog} {metadata.version('wsroute')}")
        parser.exit()
