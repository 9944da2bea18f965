"""Servers that no one here wrote, behind routes, used as their users use them."""

from __future__ import annotations

import asyncio
import secrets
from typing import Any, NamedTuple

import aiohttp
import pytest
import socketio

from .jupyter import COMMAND, Jupyter, execute
from .kube import apply, kubectl_json, service_address, wait_for
from .objects import container, injected, pod, route, rule, service
from .tunnels import LIMIT

PORTS = {"jupyter": 8888, "socketio": 8080}


class Addresses(NamedTuple):
    """Where a server is: the Service's address, and its own in the pod, past the sidecar."""

    through: str
    direct: str


@pytest.fixture(scope="module")
def servers(installed: str, module_namespace: str) -> dict[str, Addresses]:
    """Both servers, by name, each with a route to it."""
    commands = {"jupyter": COMMAND, "socketio": ("python", "/socketio_echo.py")}
    for name, port in PORTS.items():
        probe = {"tcpSocket": {"port": port}, "periodSeconds": 1}
        server = container(name, "backends", *commands[name], readinessProbe=probe)
        to_server = route(name, rule("/", port), app=name)
        apply(module_namespace, injected(pod(name, server)), service(name, 9300), to_server)
    wait_for("Ready", module_namespace, *(f"pod/{name}" for name in PORTS))
    wait_for("Ready", module_namespace, *(f"wsr/{name}" for name in PORTS))
    return {name: _addresses(module_namespace, name) for name in PORTS}


def _addresses(namespace: str, name: str) -> Addresses:
    found = kubectl_json("get", "pod", name, f"--namespace={namespace}")
    direct = f"{found['status']['podIP']}:{PORTS[name]}"
    return Addresses(service_address(namespace, name), direct)


@pytest.fixture(scope="module")
def jupyter(servers: dict[str, Addresses]) -> Jupyter:
    """The Jupyter server, through its sidecar."""
    return Jupyter(servers["jupyter"].through)


def test_a_jupyter_kernel_executes_code_over_its_websocket(jupyter: Jupyter) -> None:
    with jupyter.kernel() as path, jupyter.channels(path, cookie=jupyter.cookie()) as channels:
        assert execute(channels, "print(6 * 7)") == "42\n"
        size = 300_000
        assert execute(channels, f"print('ü' * {size})") == "ü" * size + "\n"


@pytest.mark.parametrize(
    ("origin", "logged_in"),
    [
        pytest.param("http://elsewhere.example", True, id="foreign origin"),
        pytest.param(None, False, id="not logged in"),
    ],
)
def test_jupyter_refuses_a_handshake_as_it_does_without_a_sidecar(
    servers: dict[str, Addresses], jupyter: Jupyter, origin: str | None, *, logged_in: bool
) -> None:
    directly = Jupyter(servers["jupyter"].direct)
    with jupyter.kernel() as path:
        through, direct = (
            server.refusal(path, origin=origin, cookie=server.cookie() if logged_in else None)
            for server in (jupyter, directly)
        )
    assert through == direct
    assert through.status == 403


async def test_socketio_begins_with_polling_and_upgrades(servers: dict[str, Addresses]) -> None:
    async with _Client(servers["socketio"].through) as client:
        assert client.socket.transport() == "websocket"
        await client.echoes("grüß dich")
        await client.echoes(secrets.token_bytes(100_000))
    assert client.requests == [("GET", "polling", 200), ("GET", "websocket", 101)]


async def test_socketio_can_stay_with_polling(servers: dict[str, Addresses]) -> None:
    async with _Client(servers["socketio"].through, transports=["polling"]) as client:
        assert client.socket.transport() == "polling"
        await client.echoes("long poll")
        # No more than a segment: python-engineio on aiohttp takes a body's first part for it all.
        await client.echoes(secrets.token_bytes(1000))
    assert {transport for _, transport, _ in client.requests} == {"polling"}


class _Client:
    """A Socket.IO client that knows which requests it made: method, transport and status."""

    def __init__(self, address: str, **options: Any) -> None:
        self.requests: list[tuple[str, str, int]] = []
        self._address = address
        self._options = options
        self._echoed: asyncio.Queue[str | bytes] = asyncio.Queue()

    async def __aenter__(self) -> _Client:
        trace = aiohttp.TraceConfig()
        trace.on_request_end.append(self._note)
        self._http = aiohttp.ClientSession(trace_configs=[trace])
        self.socket = socketio.AsyncClient(http_session=self._http, reconnection=False)
        self.socket.on("echo", self._echoed.put)
        await self.socket.connect(f"http://{self._address}", **self._options)
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.socket.eio.disconnect(abort=True)  # a polite end waits out its last poll
        await self._http.close()

    async def echoes(self, data: str | bytes) -> None:
        """Send `data`, and see it come back as it is."""
        await self.socket.emit("say", data)
        assert await asyncio.wait_for(self._echoed.get(), LIMIT) == data

    async def _note(self, _: object, __: object, end: aiohttp.TraceRequestEndParams) -> None:
        self.requests.append((end.method, end.url.query["transport"], end.response.status))
