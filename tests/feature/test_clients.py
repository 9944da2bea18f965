"""WebSocket clients that no one here wrote, through the sidecar to a server of the same kind.

Each test runs with PyPI's `websockets` and with npm's `ws`.
"""

from __future__ import annotations

import asyncio
import http
import json
import os
import secrets
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from tests.support.npm import modules
from tests.support.sidecar import Sidecar, free_ports, route

LIMIT: Final = 20.0
NPM: Final = Path(__file__).parent / "npm"
NO_CODE: Final = 1005
"""What both packages say for a Close without a code (RFC 6455 section 7.1.5)."""

Closed = tuple[int, str]


class Refusal(NamedTuple):
    status: int
    headers: dict[str, str]
    body: str


class Refused(Exception):  # noqa: N818 - what the server said
    def __init__(self, status: int, headers: dict[str, str], body: str) -> None:
        super().__init__(status)
        self.refusal: Final = Refusal(status, headers, body)


class Client(Protocol):
    """What the tests ask of a client, whatever its language."""

    @property
    def subprotocol(self) -> str:
        """What the server has chosen."""

    @property
    def compressed(self) -> bool:
        """Whether permessage-deflate was negotiated."""

    async def echo(self, size: int, *, binary: bool, fragments: int = 1) -> bool:
        """Send a message; whether the same came back."""

    async def ping(self, data: str) -> str:
        """Send a ping; the data of its pong."""

    async def ask(self, text: str) -> str:
        """Send a text; the next message."""

    async def send(self, text: str) -> None:
        """Send a text."""

    async def close(self, code: int | None, reason: str) -> Closed:
        """Send a Close; what the server answered."""

    async def closed(self) -> Closed:
        """The Close that came from the server."""


class Connector(Protocol):
    def __call__(
        self, uri: str, subprotocols: Sequence[str] = (), *, compression: bool = False
    ) -> AbstractAsyncContextManager[Client]:
        """A connected client; Refused when the handshake fails."""


class PythonClient:
    def __init__(self, connection: ClientConnection) -> None:
        self._connection: Final = connection
        self.subprotocol: Final = connection.subprotocol or ""
        self.compressed: Final = bool(connection.protocol.extensions)

    async def echo(self, size: int, *, binary: bool, fragments: int = 1) -> bool:
        random = secrets.token_bytes(size // 2 + 1)
        sent: str | bytes = (random * 2)[:size] if binary else random.hex()[:size]
        part = max(1, -(-size // fragments))
        parts = [sent[at : at + part] for at in range(0, size, part)]
        await self._connection.send(sent if fragments == 1 else parts)
        return await self._connection.recv() == sent

    async def ping(self, data: str) -> str:
        await (await self._connection.ping(data))
        return data

    async def send(self, text: str) -> None:
        await self._connection.send(text)

    async def ask(self, text: str) -> str:
        await self.send(text)
        return str(await self._connection.recv())

    async def close(self, code: int | None, reason: str) -> Closed:
        if code is None:
            self._connection.protocol.send_close()
            self._connection.send_data()
        else:
            await self._connection.close(code, reason)
        return await self.closed()

    async def closed(self) -> Closed:
        await self._connection.wait_closed()
        received = self._connection.protocol.close_rcvd
        assert received is not None
        return int(received.code), received.reason


@asynccontextmanager
async def python(
    uri: str, subprotocols: Sequence[str] = (), *, compression: bool = False
) -> AsyncIterator[Client]:
    try:
        async with connect(
            uri,
            subprotocols=[Subprotocol(name) for name in subprotocols] or None,
            compression="deflate" if compression else None,
            max_size=None,
        ) as connection:
            yield PythonClient(connection)
    except InvalidStatus as error:
        answer = error.response
        headers = {name.lower(): value for name, value in answer.headers.raw_items()}
        raise Refused(answer.status_code, headers, bytes(answer.body).decode()) from error


class NodeClient:
    def __init__(self, process: asyncio.subprocess.Process, told: dict[str, Any]) -> None:
        self._process: Final = process
        self.subprotocol: Final[str] = told["subprotocol"]
        self.compressed: Final = "permessage-deflate" in told["extensions"]

    async def _do(self, command: str, **arguments: object) -> dict[str, Any]:
        line = json.dumps({"do": command, **arguments})
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")
        return await told(self._process)

    async def echo(self, size: int, *, binary: bool, fragments: int = 1) -> bool:
        reply = await self._do("echo", size=size, binary=binary, fragments=fragments)
        return reply == {"same": True, "binary": binary}

    async def ping(self, data: str) -> str:
        return str((await self._do("ping", data=data))["pong"])

    async def ask(self, text: str) -> str:
        return str((await self._do("ask", text=text))["text"])

    async def send(self, text: str) -> None:
        await self._do("send", text=text)

    async def close(self, code: int | None, reason: str) -> Closed:
        reply = await self._do("close", code=code, reason=reason)
        return reply["code"], reply["reason"]

    async def closed(self) -> Closed:
        reply = await self._do("closed")
        return reply["code"], reply["reason"]


async def told(process: asyncio.subprocess.Process) -> dict[str, Any]:
    assert process.stdout is not None
    async with asyncio.timeout(LIMIT):
        line: dict[str, Any] = json.loads(await process.stdout.readline())
    return line


@asynccontextmanager
async def node(
    uri: str, subprotocols: Sequence[str] = (), *, compression: bool = False
) -> AsyncIterator[Client]:
    settings = {"url": uri, "subprotocols": list(subprotocols), "compression": compression}
    process = await asyncio.create_subprocess_exec(
        "node",
        str(NPM / "client.cjs"),
        json.dumps(settings),
        env=os.environ | {"NODE_PATH": str(modules(NPM / "package.json"))},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        answer = await told(process)
        if answer["status"] != 101:
            raise Refused(answer["status"], answer["headers"], answer["body"])
        yield NodeClient(process, answer)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()


@pytest.fixture(params=[python, node], ids=["websockets", "ws"])
def client(request: pytest.FixtureRequest) -> Connector:
    connector: Connector = request.param
    return connector


REFUSALS: Final = {
    "/401": (http.HTTPStatus.UNAUTHORIZED, "who are you?\n"),
    "/403": (http.HTTPStatus.FORBIDDEN, "not for you: " + "x" * 30_000),
    "/426": (http.HTTPStatus.UPGRADE_REQUIRED, ""),
}


class Backend:
    """Echoes; a text that begins with `!` is a command."""

    def __init__(self) -> None:
        self.closes: Final[asyncio.Queue[Closed]] = asyncio.Queue()
        """What clients have sent."""

    async def __call__(self, connection: ServerConnection) -> None:
        try:
            async for message in connection:
                if isinstance(message, str) and message.startswith("!"):
                    await self._obey(connection, *message.split(" ", 2))
                else:
                    await connection.send(message)
        except ConnectionClosed:
            pass
        await connection.wait_closed()
        if (received := connection.protocol.close_rcvd) is not None:
            self.closes.put_nowait((int(received.code), received.reason))

    async def _obey(self, connection: ServerConnection, command: str, *words: str) -> None:
        match command, *words:
            case "!ping", data:
                await (await connection.ping(data))
                await connection.send("answered")
            case "!close", code, reason:
                await connection.close(int(code), reason)
            case "!close", *_:
                connection.protocol.send_close()
                connection.send_data()

    async def refuse(self, connection: ServerConnection, request: Request) -> Response | None:
        if request.path not in REFUSALS:
            return None
        response = connection.respond(*REFUSALS[request.path])
        response.headers["WWW-Authenticate"] = 'Bearer realm="chat"'
        return response

    async def received(self) -> Closed:
        async with asyncio.timeout(LIMIT):
            return await self.closes.get()


@pytest.fixture(scope="module")
def port() -> int:
    return free_ports(1)[0]


@pytest.fixture(scope="module")
def uri(port: int) -> Iterator[str]:
    with Sidecar([route(port, hostnames=["127.0.0.1"])]) as sidecar:
        yield f"ws://127.0.0.1:{sidecar.port}/"
        assert sidecar.errors() == []


@pytest.fixture
async def backend(port: int) -> AsyncIterator[Backend]:
    backend = Backend()
    async with serve(
        backend,
        "127.0.0.1",
        port,
        process_request=backend.refuse,
        subprotocols=[Subprotocol("chat.v2"), Subprotocol("chat.v1")],
        select_subprotocol=choose,
        max_size=None,
    ):
        yield backend


def choose(_: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    return Subprotocol("chat.v1") if "chat.v1" in offered else None


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("compression", [False, True], ids=["plain", "compressed"])
async def test_messages_of_every_size_come_back_unchanged(
    client: Connector, uri: str, *, compression: bool
) -> None:
    async with client(uri, compression=compression) as one:
        assert one.compressed == compression
        for size in (0, 1, 125, 126, 65535, 65536, 1 << 20):
            assert await one.echo(size, binary=False), size
            assert await one.echo(size, binary=True), size
        assert await one.echo((4 if compression else 16) << 20, binary=True)


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("compression", [False, True], ids=["plain", "compressed"])
async def test_fragmented_messages_come_back_whole(
    client: Connector, uri: str, *, compression: bool
) -> None:
    async with client(uri, compression=compression) as one:
        for size, fragments in ((10, 10), (1000, 3), (1 << 20, 17)):
            assert await one.echo(size, binary=False, fragments=fragments)
            assert await one.echo(size, binary=True, fragments=fragments)


@pytest.mark.usefixtures("backend")
async def test_pings_are_answered_by_the_other_end_in_both_directions(
    client: Connector, uri: str
) -> None:
    async with client(uri) as one:
        assert await one.ping("are you there?") == "are you there?"
        assert await one.ping("") == ""
        assert await one.ask("!ping and-you?") == "answered"


@pytest.mark.parametrize(
    ("code", "reason"),
    [(1000, ""), (1000, "done"), (1011, "broken"), (3000, "a"), (4001, "gr\u00fcn"), (4999, "")],
)
async def test_a_clients_close_reaches_the_backend_with_code_and_reason(
    client: Connector, uri: str, backend: Backend, code: int, reason: str
) -> None:
    async with client(uri) as one:
        assert await one.close(code, reason) == (code, reason)
        assert await backend.received() == (code, reason)


async def test_a_clients_close_without_a_code_stays_without_one(
    client: Connector, uri: str, backend: Backend
) -> None:
    async with client(uri) as one:
        assert await one.close(None, "") == (NO_CODE, "")
        assert await backend.received() == (NO_CODE, "")


@pytest.mark.parametrize(
    ("code", "reason"),
    [(1000, ""), (1001, "bye"), (1012, "restart"), (3000, "a"), (4001, "gr\u00fcn"), (4999, "")],
)
async def test_a_backends_close_reaches_the_client_with_code_and_reason(
    client: Connector, uri: str, backend: Backend, code: int, reason: str
) -> None:
    async with client(uri) as one:
        await one.send(f"!close {code} {reason}")
        assert await one.closed() == (code, reason)
        assert await backend.received() == (code, reason)


async def test_a_backends_close_without_a_code_stays_without_one(
    client: Connector, uri: str, backend: Backend
) -> None:
    async with client(uri) as one:
        await one.send("!close")
        assert await one.closed() == (NO_CODE, "")
        assert await backend.received() == (NO_CODE, "")


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize(
    ("offered", "chosen"), [([], ""), (["chat.v3", "chat.v1"], "chat.v1"), (["chat.v1"], "chat.v1")]
)
async def test_the_backend_chooses_the_subprotocol(
    client: Connector, uri: str, offered: Sequence[str], chosen: str
) -> None:
    async with client(uri, offered) as one:
        assert one.subprotocol == chosen


async def refusal(client: Connector, uri: str) -> Refusal:
    with pytest.raises(Refused) as refused:
        await client(uri).__aenter__()
    return refused.value.refusal


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("path", REFUSALS)
async def test_the_backends_refusal_reaches_the_client_with_its_body(
    client: Connector, uri: str, path: str
) -> None:
    status, headers, body = await refusal(client, uri + path[1:])
    assert (status, body) == REFUSALS[path]
    assert headers["www-authenticate"] == 'Bearer realm="chat"'


async def test_without_a_route_the_answer_is_404(client: Connector, uri: str) -> None:
    status, _, body = await refusal(client, uri.replace("127.0.0.1", "localhost"))
    assert (status, body) == (404, "wsroute: 404 no route is for localhost/\n")


async def test_without_a_backend_the_answer_is_502(client: Connector, uri: str) -> None:
    status, _, body = await refusal(client, uri)
    assert status == 502
    assert body.startswith("wsroute: 502 the backend on port ")
