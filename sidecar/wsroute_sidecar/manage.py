"""The client's side of the control socket: what a person types inside the container."""

from __future__ import annotations

import http.client
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

_REQUESTS: Final = {
    "connections": ("GET", "/v1/connections"),
    "routes": ("GET", "/v1/routes"),
    "drain": ("POST", "/v1/drain"),
}


class _Connection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(str(self._path))


def run(path: Path, flags: Mapping[str, object]) -> int:
    """Send one command, print the answer; OSError where no sidecar listens."""
    method, target = _REQUESTS[str(flags["command"])]
    if flags.get("wait"):
        target += "?wait=1"
    connection = _Connection(path)
    try:
        connection.request(method, target)
        response = connection.getresponse()
        sys.stdout.write(response.read().decode() + "\n")
    except FileNotFoundError as error:
        raise OSError(
            f"no sidecar listens on {path}: is it running, and is --control right?"
        ) from error
    finally:
        connection.close()
    return 0 if response.status < 400 else 1
