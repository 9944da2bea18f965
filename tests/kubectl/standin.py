"""A `kubectl` on the PATH that answers from a table, and the command `kubectl-wsroute` above it.

What the plugin gives to kubectl and makes of its answers is tested here without a cluster, so that
each failure of a pod or of the API server can be had at will; tests/cluster runs it on a real one.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import termios
from pathlib import Path
from typing import Any, Final

COMMAND: Final = Path(sys.executable).with_name("kubectl-wsroute")

_PROGRAM = """\
#!{python}
import json, pathlib, sys
folder = pathlib.Path(__file__).parent
words = " ".join(sys.argv[1:])
with (folder / "calls").open("a") as calls:
    calls.write(words + "\\n")
for part, (status, out, err) in json.loads((folder / "answers").read_text()):
    if part in words:
        sys.stdout.write(out)
        sys.stderr.write(err)
        sys.exit(status)
sys.exit("unexpected: kubectl " + words)
"""


class StandIn:
    """A cluster that is a table: the first entry whose words are in a call answers it."""

    def __init__(self, folder: Path) -> None:
        self._folder: Final = folder
        self._answers: Final[list[tuple[str, tuple[int, str, str]]]] = []
        program = folder / "kubectl"
        program.write_text(_PROGRAM.format(python=sys.executable))
        program.chmod(0o755)

    @property
    def environ(self) -> dict[str, str]:
        """Variables with which a program finds it."""
        return {**os.environ, "PATH": f"{self._folder}:{os.environ['PATH']}"}

    @property
    def calls(self) -> list[str]:
        """The arguments of each call."""
        return (self._folder / "calls").read_text().splitlines()

    def answer(self, words: str, said: object) -> None:
        """Calls with `words` print `said`: a text, or else as JSON."""
        self._add(words, 0, said if isinstance(said, str) else json.dumps(said), "")

    def fail(self, words: str, errors: str, *, said: str = "") -> None:
        """Calls with `words` fail, with `errors` on standard error and `said` before."""
        self._add(words, 1, said, errors)

    def _add(self, words: str, status: int, out: str, err: str) -> None:
        self._answers.append((words, (status, out, err)))
        (self._folder / "answers").write_text(json.dumps(self._answers))

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run `kubectl-wsroute` to its end."""
        return subprocess.run(
            [COMMAND, *words], env=self.environ, check=False, capture_output=True, text=True
        )

    def seen(self, *words: str, enough: str = "", lines: int = 24, columns: int = 80) -> str:
        """All that `kubectl-wsroute` writes to a terminal of this size.

        One who sees `enough` interrupts it.
        """
        master, terminal = os.openpty()
        termios.tcsetwinsize(terminal, (lines, columns))
        with subprocess.Popen(
            [COMMAND, *words], env=self.environ, stdout=terminal, stderr=terminal
        ) as command:
            os.close(terminal)
            written = b""
            while read := _read(master):
                written += read
                if enough and enough.encode() in written:
                    command.send_signal(signal.SIGINT)
            command.wait()
        os.close(master)
        return written.decode().replace("\r\n", "\n")


def _read(terminal: int) -> bytes:
    """What comes from a terminal; on Linux its end is an error."""
    try:
        return os.read(terminal, 4096)
    except OSError:
        return b""


def pod(name: str, *, sidecar: bool = True, **status: Any) -> dict[str, Any]:
    """A pod with a running sidecar, or without one; `status` is more of its status."""
    running = [{"name": "wsroute", "state": {"running": {}}}] if sidecar else []
    return {
        "metadata": {"name": name, "namespace": "shop", "labels": {"wsroute.dev/inject": "true"}},
        "spec": {"initContainers": [{"name": "wsroute"}] if sidecar else []},
        "status": {"phase": "Running", "initContainerStatuses": running, **status},
    }


def wsr(name: str = "chat", **status: Any) -> dict[str, Any]:
    """A route of generation 3 as the API server has it."""
    return {
        "apiVersion": "wsroute.dev/v1alpha1",
        "kind": "WebSocketRoute",
        "metadata": {"name": name, "namespace": "shop", "generation": 3},
        "spec": {
            "selector": {"matchLabels": {"app": "chat"}},
            "rules": [{"matches": [{"path": {"value": f"/{name}"}}], "backend": {"port": 8080}}],
        },
        "status": status,
    }


def connection(identity: str, **more: Any) -> dict[str, Any]:
    """A tunnel, as a sidecar lists it."""
    return {
        "id": identity, "route": "shop/chat", "rule": "rooms", "client": "192.0.2.7",
        "port": 8080, "subprotocol": None, "age": 60.0, "idle": 1.0, "bytesIn": 1, "bytesOut": 2,
        "messagesIn": 1, "messagesOut": 1, "clientRtt": None, "backendRtt": 0.0012,
    } | more  # fmt: skip
