"""What `wsroute-sidecar` can be told, for argparse: flags, and commands that `manage` runs."""

from __future__ import annotations

import argparse

from wsroute_api.version import Version
from wsroute_sidecar.config import FLAGS, Settings


def parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    parser = argparse.ArgumentParser(
        prog="wsroute-sidecar",
        description="Upgrade-aware forwarding of WebSocket and HTTP to the containers of this pod.",
    )
    parser.add_argument("--version", action=Version)
    _add_flags(parser)
    _add_commands(parser)
    return parser


def _add_flags(parser: argparse.ArgumentParser) -> None:
    for name, (_, metavar, text) in FLAGS.items():
        default = Settings._field_defaults[name]
        shown = f" (default {default})" if default not in (None, (), False) else ""
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            metavar=metavar,
            help=f"{text}{shown} [WSROUTE_{name.upper()}]",
        )


def _add_commands(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    connections = commands.add_parser("connections", help="list live tunnels")
    connections.add_argument("--route", metavar="NAMESPACE/NAME", help="only those of this route")
    connections.add_argument("-o", "--output", choices=("table", "json"), default="table")
    close = commands.add_parser("close", help="end one tunnel, or all of a route")
    close.add_argument("id", nargs="?", metavar="ID", help="as `connections` lists it")
    close.add_argument("--route", metavar="NAMESPACE/NAME", help="all tunnels of this route")
    close.add_argument("--code", type=int, default=1001, help="close code (default 1001)")
    close.add_argument("--reason", default="closed by an administrator", help="close reason")
    close.add_argument("-o", "--output", choices=("text", "json"), default="text")
    drain = commands.add_parser("drain", help="take no new tunnels, and end the live ones politely")
    drain.add_argument("--wait", action="store_true", help="return when no tunnel is left")
    drain.add_argument(
        "--accept", default="0", metavar="SECONDS", help="take new tunnels for so long"
    )
    commands.add_parser("routes", help="print the routes that are served, as JSON")
