"""The client's side of the control socket: what a person types inside the container."""

from __future__ import annotations

import argparse
import http.client
import json
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

_COLUMNS: Final = ("ID", "ROUTE", "RULE", "CLIENT", "AGE", "IDLE", "IN", "OUT", "MESSAGES", "RTT")
_UNITS: Final = ("", "K", "M", "G", "T")


def add_commands(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the commands that manage a running sidecar."""
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    connections = commands.add_parser("connections", help="list live tunnels")
    connections.add_argument("--route", metavar="NAMESPACE/NAME", help="only those of this route")
    connections.add_argument("-o", "--output", choices=("table", "json"), default="table")
    close = commands.add_parser("close", help="end one tunnel, or all of a route")
    close.add_argument("id", nargs="?", metavar="ID", help="as `connections` lists it")
    close.add_argument("--route", metavar="NAMESPACE/NAME", help="all tunnels of this route")
    close.add_argument("--code", type=int, default=1001, help="close code (default 1001)")
    close.add_argument("--reason", default="closed by an administrator", help="close reason")
    drain = commands.add_parser("drain", help="take no new tunnels, and end the live ones politely")
    drain.add_argument("--wait", action="store_true", help="return when no tunnel is left")
    commands.add_parser("routes", help="print the routes that are served, as JSON")


def run(path: Path, flags: Mapping[str, Any]) -> int:
    """Send one command to the sidecar on `path` and print its answer; OSError if none listens."""
    command = flags["command"]
    if command == "connections":
        return _connections(path, flags)
    if command == "close":
        return _close(path, flags)
    if command == "drain":
        status, answer = _ask(path, "POST", "/v1/drain" + ("?wait=1" if flags["wait"] else ""))
        print(f"draining; {answer['open']} tunnels are open")
        return int(status >= 400)
    _, answer = _ask(path, "GET", "/v1/routes")
    print(json.dumps(answer["routes"], indent=2))
    return 0


def _connections(path: Path, flags: Mapping[str, Any]) -> int:
    query = urlencode({"route": flags["route"]}) if flags["route"] else ""
    _, answer = _ask(path, "GET", f"/v1/connections?{query}")
    if flags["output"] == "json":
        print(json.dumps(answer, indent=2))
    else:
        print(table(answer["connections"]))
    return 0


def _close(path: Path, flags: Mapping[str, Any]) -> int:
    if (flags["id"] is None) == (flags["route"] is None):
        raise ValueError("close: name one tunnel by its ID, or a route with --route")
    order = {name: flags[name] for name in ("id", "route", "code", "reason") if flags[name]}
    status, answer = _ask(path, "POST", "/v1/close", json.dumps(order))
    if "error" in answer:
        raise ValueError(f"close: {answer['error']}")
    print(f"{answer['closed']} tunnels closed" if answer["closed"] else "no such tunnel")
    return int(status >= 400)


def table(connections: Sequence[Mapping[str, Any]]) -> str:
    """Live tunnels as people read them, the oldest first."""
    rows = [_COLUMNS, *(_row(c) for c in sorted(connections, key=lambda c: -c["age"]))]
    widths = [max(len(row[i]) for row in rows) for i in range(len(_COLUMNS))]
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) for row in rows]
    return "\n".join(line.rstrip() for line in lines)


def _row(connection: Mapping[str, Any]) -> tuple[str, ...]:
    rtt = connection["clientRtt"]
    return (
        connection["id"],
        connection["route"],
        connection["rule"],
        connection["client"],
        duration(connection["age"]),
        duration(connection["idle"]),
        _amount(connection["bytesIn"]),
        _amount(connection["bytesOut"]),
        f"{connection['messagesIn']}/{connection['messagesOut']}",
        "-" if rtt is None else f"{rtt * 1000:.1f}ms",
    )


def duration(seconds: float) -> str:
    """`seconds` as kubectl writes an age: 45s, 12m, 3h20m, 2d4h."""
    whole = int(seconds)
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if whole < 120:
        return f"{whole}s"
    if hours < 3:
        return f"{minutes}m"
    if days < 2:
        return f"{hours}h{minutes % 60}m" if minutes % 60 else f"{hours}h"
    return f"{days}d{hours % 24}h" if hours % 24 else f"{days}d"


def _amount(number: float) -> str:
    for unit in _UNITS:
        if number < 1000 or unit == _UNITS[-1]:
            break
        number /= 1024
    return f"{number:.0f}{unit}" if number >= 10 or not unit else f"{number:.1f}{unit}"


class _Connection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost")
        self._path = path

    def connect(self) -> None:
        """Connect to the socket's path instead of a host."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(str(self._path))


def _ask(path: Path, method: str, target: str, body: str | None = None) -> tuple[int, Any]:
    connection = _Connection(path)
    try:
        connection.request(method, target, body)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise OSError(f"no sidecar listens on {path}: is it running there?") from error
    finally:
        connection.close()
