"""`make run`: the launcher of the chat with the real sidecar, from its one line to its end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

RUN = Path(__file__).parents[2] / "charts/examples/chat/run.py"
VARIABLES = ("PORT", "CHAT_PORT", "METRICS_PORT")
LIMIT = 30  # seconds for anything to happen


def free_ports() -> dict[str, int]:
    """A port for each variable, free a moment ago."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in VARIABLES]
        return dict(zip(VARIABLES, (sock.getsockname()[1] for sock in sockets), strict=True))


@contextmanager
def launched(ports: dict[str, int]) -> Iterator[subprocess.Popen[str]]:
    """The launcher, ended by SIGTERM if the test has not ended it."""
    env = os.environ | {variable: str(port) for variable, port in ports.items()}
    pipe = subprocess.PIPE
    command = [sys.executable, str(RUN)]
    with subprocess.Popen(command, env=env, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.terminate()


@contextmanager
def announced(ports: dict[str, int]) -> Iterator[subprocess.Popen[str]]:
    """The launcher, after it has said where the page is."""
    with launched(ports) as process:
        assert process.stdout is not None
        assert f" http://127.0.0.1:{ports['PORT']}/ " in process.stdout.readline()
        yield process


def children(process: subprocess.Popen[str]) -> dict[str, int]:
    """The process ids of the launcher's children, by the names of their scripts."""
    pids = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    scripts = [Path(f"/proc/{pid}/cmdline").read_text().split("\0")[1] for pid in pids]
    return {Path(script).name: int(pid) for script, pid in zip(scripts, pids, strict=True)}


def all_free(ports: dict[str, int]) -> bool:
    """Whether nothing listens on any of the ports."""
    with socket.socket() as probe:
        return all(probe.connect_ex(("127.0.0.1", port)) for port in ports.values())


async def test_the_page_and_the_chat_come_through_the_sidecar() -> None:
    ports = free_ports()
    url = f"http://127.0.0.1:{ports['PORT']}"
    with announced(ports):
        async with aiohttp.ClientSession() as session:
            async with session.get(url) as page:
                assert "wsroute chat" in await page.text()
            async with session.ws_connect(f"{url}/ws/rooms/lobby?nick=Ada") as ws:
                hello = await ws.receive_json(timeout=LIMIT)
                async with session.get(f"{url}/sidecar") as answer:
                    view = await answer.json()
    own = next(tunnel for tunnel in view["connections"] if tunnel["id"] == hello["tunnel"])
    assert (own["route"], own["rule"], own["port"]) == ("default/chat", "rooms", ports["CHAT_PORT"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_ends_everything_politely_and_silently(number: signal.Signals) -> None:
    ports = free_ports()
    with announced(ports) as process:
        url = f"http://127.0.0.1:{ports['PORT']}/ws/rooms/lobby?nick=Ada"
        async with aiohttp.ClientSession() as session, session.ws_connect(url) as ws:
            await ws.receive_json(timeout=LIMIT)
            process.send_signal(number)
            assert (await ws.receive(timeout=LIMIT)).data == aiohttp.WSCloseCode.GOING_AWAY
        out, err = process.communicate(timeout=LIMIT)
    assert (process.returncode, out, err) == (0, "", "")
    assert all_free(ports)


@pytest.mark.parametrize("variable", VARIABLES)
def test_a_busy_port_is_named_with_the_way_out(variable: str) -> None:
    ports = free_ports()
    port = ports[variable]
    with socket.create_server(("127.0.0.1", port)), launched(ports) as process:
        out, err = process.communicate(timeout=LIMIT)
    assert process.returncode == 1
    assert (out, err) == (
        "",
        f"Port {port} cannot be used: address already in use. "
        f"Free it, or choose another: make run {variable}={port + 1}\n",
    )


@pytest.mark.parametrize("name", ["chat.py", "wsroute-sidecar"])
def test_when_one_program_dies_the_other_is_ended(name: str) -> None:
    ports = free_ports()
    with announced(ports) as process:
        os.kill(children(process)[name], signal.SIGKILL)
        _, err = process.communicate(timeout=LIMIT)
    assert process.returncode == 1
    assert f"{name} ended by itself with exit code -9" in err
    assert all_free(ports)
