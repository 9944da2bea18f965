"""The client's side of the control socket: what a person types inside the container."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from wsroute_api import listing


def run(path: Path, flags: Mapping[str, Any]) -> int:
    """Send one command to the sidecar on `path` and print its answer; OSError if none listens."""
    command = flags["command"]
    if command == "connections":
        return _connections(path, flags)
    if command == "close":
        return _close(path, flags)
    if command == "drain":
        query = {"accept": flags["accept"]} | ({"wait": "1"} if flags["wait"] else {})
        status, answer = _ask(path, "POST", f"/v1/drain?{urlencode(query)}")
        if "error" in answer:
            raise ValueError(f"drain: {answer['error']}")
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
        print(listing.table(answer["connections"], listing.COLUMNS))
    return 0


def _close(path: Path, flags: Mapping[str, Any]) -> int:
    if (flags["id"] is None) == (flags["route"] is None):
        raise ValueError("close: name one tunnel by its ID, or a route with --route")
    order = {name: flags[name] for name in ("id", "route", "code", "reason") if flags[name]}
    status, answer = _ask(path, "POST", "/v1/close", json.dumps(order))
    if "error" in answer:
        raise ValueError(f"close: {answer['error']}")
    if flags["id"] and status >= 400:
        raise ValueError(f"close: there is no tunnel {flags['id']}")
    print(json.dumps(answer) if flags["output"] == "json" else f"{answer['closed']} tunnels closed")
    return 0


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
