"""Start the chat with the sidecar before it, on this machine alone, and say where to look.

Both run until Ctrl-C, SIGTERM or SIGHUP, or until one of them ends: then the other is ended too.
The chat is stopped first. It says goodbye to its clients, so the sidecar has none left to drain.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import os
import signal
import socket
import sys
import tempfile
import time
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path

HERE = Path(__file__).parent
HOST = "127.0.0.1"
PORTS = {"PORT": 9300, "CHAT_PORT": 8080, "METRICS_PORT": 9302}  # by environment variable
START_LIMIT = 20.0  # seconds until the page must answer
STOP_LIMIT = 15.0  # seconds from SIGTERM to SIGKILL


class RunError(Exception):
    """Why the chat cannot start or go on, in one line for the person who started it."""


async def run(port: int, chat_port: int, metrics_port: int) -> None:
    """Serve the chat until a signal; RunError when it cannot start, or when a program ends."""
    stopped = asyncio.Event()
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(signum, stopped.set)
    for variable, number in zip(PORTS, (port, chat_port, metrics_port), strict=True):
        must_be_free(variable, number)
    with tempfile.TemporaryDirectory(prefix="wsroute-") as name:
        folder = Path(name)
        sidecar_command = [
            sidecar_path(),
            f"--listen={HOST}:{port}",
            f"--metrics={HOST}:{metrics_port}",
            f"--routes={route_file(folder, chat_port)}",
        ]
        chat_command = [sys.executable, str(HERE / "chat.py"), f"--port={chat_port}"]
        async with (
            program(folder, *sidecar_command) as sidecar,
            program(folder, *chat_command) as chat,
        ):
            await first(
                serve(port, stopped), ended(sidecar, "wsroute-sidecar"), ended(chat, "chat.py")
            )


def must_be_free(variable: str, port: int) -> None:
    """RunError if the port cannot be had; it names the variable that chooses another one."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise RunError(
                f"Port {port} cannot be used: {os.strerror(error.errno or 0).lower()}. "
                f"Free it, or choose another: make run {variable}={port + 1}"
            ) from error


def route_file(folder: Path, chat_port: int) -> Path:
    """The file route.yaml itself, or a copy of it in the folder for a chat on another port."""
    route = HERE / "route.yaml"
    usual = PORTS["CHAT_PORT"]
    if chat_port == usual:
        return route
    copy = folder / route.name  # which edits of route.yaml do not reach
    copy.write_text(route.read_text().replace(f"port: {usual}", f"port: {chat_port}"))
    return copy


def sidecar_path() -> str:
    """The sidecar that is installed beside the running Python."""
    path = Path(sys.executable).with_name("wsroute-sidecar")
    if not path.exists():
        raise RunError(f"{path} is not there: start the chat with `make run`.")
    return str(path)


@asynccontextmanager
async def program(folder: Path, *command: str) -> AsyncIterator[Process]:
    """A program that runs as long as the context, in a process group that Ctrl-C does not reach."""
    defaults = {"WSROUTE_LOG_LEVEL": "warning"}
    process = await asyncio.create_subprocess_exec(
        *command,
        stdout=DEVNULL,
        env=defaults | os.environ | {"WSROUTE_CONTROL": str(folder / "control.sock")},
        process_group=0,
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), STOP_LIMIT)
        except TimeoutError:
            process.kill()
            await process.wait()


async def first(*endings: Coroutine[None, None, None]) -> None:
    """Wait until one of them is over, and raise what it raises."""
    tasks = [asyncio.create_task(ending) for ending in endings]
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    for task in done:
        task.result()


async def serve(port: int, stopped: asyncio.Event) -> None:
    """Say where the page is once it answers, then wait for the signal."""
    late = time.monotonic() + START_LIMIT
    while not (stopped.is_set() or await asyncio.to_thread(page_answers, port)):
        if time.monotonic() > late:
            raise RunError(f"The page did not answer within {START_LIMIT:.0f} s.")
        with suppress(TimeoutError):
            await asyncio.wait_for(stopped.wait(), 0.1)
    if not stopped.is_set():
        print(f"Open http://{HOST}:{port}/ in two windows and chat; Ctrl-C ends it.", flush=True)
    await stopped.wait()


def page_answers(port: int) -> bool:
    """Whether the chat's page comes through the sidecar."""
    connection = http.client.HTTPConnection(HOST, port, timeout=1)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


async def ended(process: Process, name: str) -> None:
    """Wait for an end that nobody asked for, and fail with it."""
    code = await process.wait()
    raise RunError(f"{name} ended by itself with exit code {code}, so the rest was ended too.")


def port_number(text: str) -> int:
    """A TCP port from the command line or the environment."""
    port = int(text)
    if not 0 < port < 65536:
        raise argparse.ArgumentTypeError(f"{port} is no port: 1 to 65535")
    return port


def main() -> None:
    """Read the ports, run, and exit with 0 after a signal or 1 after an error."""
    parser = argparse.ArgumentParser(description="The chat behind the sidecar, on this machine.")
    for variable, port in PORTS.items():
        parser.add_argument(
            f"--{variable.lower().replace('_', '-')}",
            type=port_number,
            default=os.environ.get(variable, str(port)),
            help=f"or the environment variable {variable}; default {port}",
        )
    options = parser.parse_args()
    try:
        asyncio.run(run(**vars(options)))
    except RunError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
