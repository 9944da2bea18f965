"""A running sidecar: the real process, on free ports of the loopback interface."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, Self

import pytest
import yaml

from wsroute_api import contract

LIMIT: Final = 20.0
"""Seconds for anything that a test waits for."""

both_engines: Final = pytest.mark.parametrize("relay", ["asyncio", "native"], indirect=True)
"""For tests, or modules of tests, below tests/feature."""

Line = dict[str, Any]
Routes = str | Sequence[Mapping[str, Any]]


def route(
    port: int | str, *, name: str = "app", hostnames: Sequence[str] = (), **rule: object
) -> dict[str, Any]:
    """A WebSocketRoute with one rule to `port`; `rule` gives the rule's other fields."""
    return routes_of([{"backend": {"port": port}, **rule}], name=name, hostnames=hostnames)


def routes_of(
    rules: Sequence[Mapping[str, Any]], *, name: str = "app", hostnames: Sequence[str] = ()
) -> dict[str, Any]:
    """A WebSocketRoute with these rules."""
    spec = {
        "selector": {"matchLabels": {"app": "app"}},
        "hostnames": list(hostnames),
        "rules": [dict(rule) for rule in rules],
    }
    return {
        "apiVersion": contract.API_VERSION,
        "kind": contract.KIND,
        "metadata": {"name": name},
        "spec": spec,
    }


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago."""
    with ExitStack() as stack:
        listeners = [
            stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)
        ]
        return [listener.getsockname()[1] for listener in listeners]


class Failed(Exception):  # noqa: N818 - of the sidecar, not of the test
    """The sidecar ended, or did not do in LIMIT seconds what was awaited."""


class Sidecar:
    """The process from `with` to its end; with `routes` None it waits for pushes.

    Attributes:
        port: Where clients connect.
        push: The push port.
        metrics: Health and metrics.
        control: The management socket.
        log: The log so far, each line decoded; one that is no JSON is an error line.
    """

    def __init__(
        self, routes: Routes | None = None, *flags: str, env: Mapping[str, str] | None = None
    ) -> None:
        self._folder: Final = tempfile.TemporaryDirectory(prefix="wsroute-")
        folder = Path(self._folder.name)
        self.port, self.push, self.metrics = free_ports(3)
        self.control: Final = folder / "control.sock"
        self.log: Final[list[Line]] = []
        self._logged: Final = threading.Condition()
        self._file: Final = folder / "routes.yaml"
        self._env: Final = os.environ | (env or {})
        self._command: Final = [
            str(Path(sys.executable).with_name("wsroute-sidecar")),
            f"--listen=127.0.0.1:{self.port}",
            f"--push=127.0.0.1:{self.push}",
            f"--metrics=127.0.0.1:{self.metrics}",
            f"--control={self.control}",
            f"--state={folder / 'snapshot.jws'}",
            "--log-format=json",
            *flags,
        ]
        if routes is not None:
            self._write(routes)
            self._command.append(f"--routes={self._file}")

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command, env=self._env, stderr=subprocess.PIPE, text=True
        )
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()
        try:
            self.logged("started")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._reader.join()
        assert self._process.stderr is not None
        self._process.stderr.close()
        self._folder.cleanup()

    def _read_log(self) -> None:
        assert self._process.stderr is not None
        for text in self._process.stderr:
            try:
                line = json.loads(text)
            except ValueError:
                line = {"level": "error", "event": "not_json", "text": text}
            with self._logged:
                self.log.append(line)
                self._logged.notify_all()
        with self._logged:
            self._logged.notify_all()

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def logged(self, *events: str, since: int = 0) -> Line:
        """Wait for a line of one of `events`, from line `since` of the log on."""

        def found() -> Line | None:
            return next((line for line in self.log[since:] if line["event"] in events), None)

        def settled() -> bool:
            return found() is not None or not self._reader.is_alive()

        with self._logged:
            self._logged.wait_for(settled, LIMIT)
            if (line := found()) is None:
                raise Failed(f"no {' or '.join(events)} in its log: {self.log}")
            return line

    def errors(self) -> list[Line]:
        """Log lines that speak of a fault in the sidecar itself."""
        return [line for line in self.log if line["level"] in ("warning", "error", "critical")]

    def descriptors(self) -> int:
        """How many file descriptors it has open."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))  # noqa: PTH208 - names are not needed

    def peak_memory(self) -> int:
        """Bytes that it has had in memory at most."""
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="utf-8")
        (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024

    def _write(self, routes: Routes) -> None:
        text = routes if isinstance(routes, str) else yaml.safe_dump_all(routes)
        new = self._file.with_suffix(".new")
        new.write_text(text, encoding="utf-8")
        new.replace(self._file)

    def reload(self, routes: Routes) -> Line:
        """Replace the routes, and wait until they are served, or refused: the log line says."""
        since = len(self.log)
        self._write(routes)
        return self.logged("routes_loaded", "routes_not_loaded", since=since)

    def ask(self, method: str, target: str, body: object = None) -> Any:
        """What the management socket answers, decoded."""
        connection = http.client.HTTPConnection("localhost", timeout=LIMIT)
        connection.sock = socket.socket(socket.AF_UNIX)
        try:
            connection.sock.connect(str(self.control))
            connection.request(method, target, None if body is None else json.dumps(body))
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()

    def connections(self) -> list[dict[str, Any]]:
        """Live tunnels."""
        listed: list[dict[str, Any]] = self.ask("GET", "/v1/connections")["connections"]
        return listed

    def ended(self) -> list[dict[str, Any]]:
        """The last tunnels that have ended, in their order."""
        listed: list[dict[str, Any]] = self.ask("GET", "/v1/connections")["ended"]
        return listed

    def terminate(self) -> None:
        """Send SIGTERM: the drain begins."""
        self._process.send_signal(signal.SIGTERM)

    def wait(self) -> int:
        """Wait for the process to end; its exit status."""
        status = self._process.wait(LIMIT * 3)
        self._reader.join()
        return status

    def stop(self) -> int:
        """Send SIGTERM and wait for the end; the exit status."""
        self.terminate()
        return self.wait()
