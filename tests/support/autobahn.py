"""Autobahn's cases against an echo server: directly, and through a sidecar.

`python -m tests.support.autobahn` runs all of them, also with pings from the sidecar, and prints
each case whose verdict is not that of the direct run. It takes about half an hour.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import Event, State
from websockets.server import ServerProtocol

from tests.support.sidecar import Sidecar, route

KOSOKU: Final = Path(sys.executable).with_name("kosoku")
PARALLEL: Final = 4
_PING: Final = 0x89
PINGS: Final = {"pingInterval": "20ms", "pongTimeout": "0s"}
"""So many that every case that takes a while gets some; their pongs are not waited for."""


class Verdict(NamedTuple):
    """What Autobahn says of a case."""

    messages: str
    closing: str
    code: int | None
    """Of the Close that it received."""


def verdicts(port: int, cases: Sequence[str]) -> dict[str, Verdict]:
    """Autobahn's verdicts on the server at `port`, for cases such as `1.*`."""
    with tempfile.TemporaryDirectory(prefix="autobahn-") as folder:
        command = [
            str(KOSOKU),
            "--mode=fuzzingclient",
            f"--parallelism={PARALLEL}",
            f"--outdir={folder}",
            *(f"--include={case}" for case in cases),
            f"ws://127.0.0.1:{port}",
        ]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        index = Path(folder, "index.json")
        if not index.exists():
            raise AssertionError(f"no report: {run.stdout}{run.stderr}")
        agents = json.loads(index.read_text(encoding="utf-8"))
    return {
        case: Verdict(found["behavior"], found["behaviorClose"], found["remoteCloseCode"])
        for agent in agents.values()
        for case, found in agent.items()
    }


@asynccontextmanager
async def echo_server() -> AsyncIterator[int]:
    """The port of a server that sends back each message, compressed where the client offers it."""
    loop = asyncio.get_running_loop()
    async with await loop.create_server(_Echo, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


class _Echo(asyncio.Protocol):
    """Reads bytes one by one where they are few.

    So a message is answered before a faulty frame right behind it ends the connection, however
    the stream is cut, and the verdict is always the same.
    """

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._websocket = ServerProtocol(
            extensions=[ServerPerMessageDeflateFactory()], max_size=None
        )
        self._opcode = Opcode.TEXT
        self._message = bytearray()

    def data_received(self, data: bytes) -> None:
        step = 1 if len(data) < 512 else len(data)
        for at in range(0, len(data), step):
            self._websocket.receive_data(data[at : at + step])
            for event in self._websocket.events_received():
                self._answer(event)
            for answer in self._websocket.data_to_send():
                if answer:
                    self._transport.write(answer)
                else:
                    self._transport.write_eof()

    def _answer(self, event: Event) -> None:
        match event:
            case Request():
                self._websocket.send_response(self._websocket.accept(event))
            case Frame(opcode=Opcode.TEXT | Opcode.BINARY | Opcode.CONT):
                if event.opcode is not Opcode.CONT:
                    self._opcode = event.opcode
                self._message += event.data
                if event.fin:
                    self._echo(bytes(self._message))
                    self._message.clear()

    def _echo(self, message: bytes) -> None:
        if self._websocket.state is not State.OPEN:
            return
        if self._opcode is Opcode.BINARY:
            self._websocket.send_binary(message)
        elif _is_text(message):
            self._websocket.send_text(message)
        else:
            self._websocket.fail(1007)


def _is_text(message: bytes) -> bool:
    try:
        message.decode()
    except UnicodeDecodeError:
        return False
    return True


class Taken:
    """How many pings were taken out."""

    pings = 0


@asynccontextmanager
async def without_pings(port: int) -> AsyncIterator[tuple[int, Taken]]:
    """A port that leads to `port`, but for the pings that come back from there.

    Autobahn counts a ping that it has not caused as a fault of the server, and answers it even in
    the middle of a frame of its own.
    """
    taken = Taken()
    tasks: set[asyncio.Task[None]] = set()

    async def relay(client: asyncio.StreamReader, out: asyncio.StreamWriter) -> None:
        server, into = await asyncio.open_connection("127.0.0.1", port)
        try:
            await asyncio.gather(_copy(client, into), _copy_without_pings(server, out, taken))
        finally:
            into.close()
            out.close()

    def connected(client: asyncio.StreamReader, out: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(relay(client, out))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    async with await asyncio.start_server(connected, "127.0.0.1", 0) as listener:
        try:
            yield listener.sockets[0].getsockname()[1], taken
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()
        sink.write_eof()


async def _copy_without_pings(
    source: asyncio.StreamReader, sink: asyncio.StreamWriter, taken: Taken
) -> None:
    with suppress(OSError):
        with suppress(asyncio.IncompleteReadError):
            sink.write(await source.readuntil(b"\r\n\r\n"))
            while frame := await _frame(source):
                if frame[0] == _PING:
                    taken.pings += 1
                else:
                    sink.write(frame)
                    await sink.drain()
        sink.write_eof()


async def _frame(source: asyncio.StreamReader) -> bytes:
    """A frame that is not masked."""
    head = await source.readexactly(2)
    size = head[1]
    if size > 125:
        extended = await source.readexactly(2 if size == 126 else 8)
        head, size = head + extended, int.from_bytes(extended)
    return head + await source.readexactly(size)


async def judged(port: int, cases: Sequence[str]) -> dict[str, Verdict]:
    """`verdicts`, while the loop goes on."""
    return await asyncio.to_thread(verdicts, port, cases)


async def _compare(cases: Sequence[str]) -> bool:
    """Whether all verdicts are those of the direct run; prints what is not."""
    async with echo_server() as backend:
        direct = await judged(backend, cases)
        print(_summary("directly", direct), flush=True)
        with Sidecar([route(backend)]) as sidecar:
            through = await judged(sidecar.port, cases)
        print(_summary("through the sidecar", through), flush=True)
        with Sidecar([route(backend, keepalive=PINGS)]) as sidecar:
            async with without_pings(sidecar.port) as (port, taken):
                pinged = await judged(port, cases)
        print(_summary(f"with {taken.pings} pings to the client", pinged), flush=True)
    for case, expected in direct.items():
        for found in {through.get(case), pinged.get(case)} - {expected}:
            print(f"{case}: {expected} directly, but {found}")
    return direct == through == pinged


def _summary(how: str, found: Mapping[str, Verdict]) -> str:
    counts = Counter(verdict.messages for verdict in found.values())
    return f"{len(found)} cases {how}: {', '.join(f'{n} {name}' for name, n in counts.items())}"


def main() -> int:
    """Compare, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", help="such as 1.* or 9.7.1; all if there are none")
    return 0 if asyncio.run(_compare(parser.parse_args().cases)) else 1


if __name__ == "__main__":
    sys.exit(main())
