"""Fuzzes the handshake: `python -m tests.fuzz.handshake --seconds 60`.

Bytes go through the real front, its checks, its policies and the asyncio engine, in one process and
in virtual time, to a backend that is a strict parser (h11). Seeds are the corpus, of what is
accepted and of what was once found, and the table of refused requests. What fails is printed, and
belongs into the corpus. Each stream comes whole, or in two pieces when its length is odd. For each:

 - no exception, no line of an error, no 500
 - every request is answered, with a well-formed response; of what was no request only a last answer
   may speak, which refuses it
 - what was refused gave the backend no byte, and what it gets are well-formed requests
 - the connection ends in bounded time, and leaves nothing behind
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import re
import socket
from collections.abc import Hashable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple
from unittest import mock

import h11
import looptime

from tests.feature.strictness.refusals import CASES
from tests.fuzz.fuzzing import Target, fuzz
from tests.support.sidecar import routes_of
from wsroute_api import log, manifests
from wsroute_sidecar.adapter import Exchange, Finished, Server
from wsroute_sidecar.config import Settings
from wsroute_sidecar.forward import Forwarder
from wsroute_sidecar.handshake import accept_for
from wsroute_sidecar.metrics import Metrics
from wsroute_sidecar.relay import AsyncioEngine
from wsroute_sidecar.routes import Compiled, Live
from wsroute_sidecar.tunnels import Tunnels

_CORPUS: Final = Path(__file__).with_name("corpus") / "handshake"
_MOST: Final = 96 * 1024
_LIMIT: Final = 300.0
"""Virtual seconds; the longest that a silent client has is a keep-alive and a head."""

_TELLING: Final = 40
"""Bytes of an answer's body that tell outcomes apart; what follows may be the request's words."""

_OWN: Final = b"wsroute"
"""Who answers what the backend has not seen."""

_UNREAD: Final = frozenset({400, 408, 414, 431, 505})
"""What is said to bytes that are no request."""

_SWITCHED: Final = re.compile(rb"^HTTP/1\.1 101 .*?\r\n\r\n", re.DOTALL | re.MULTILINE)
_LATE: Final = frozenset({400, 502, 504})
"""What is said when a body fails that the backend has begun to receive."""

_HOST: Final = re.compile(rb"[A-Za-z0-9.:\[\]_-]+")
_CLIENTS: Final = ("192.0.2.1", "2001:db8::1")
"""A proxy that is trusted, and one that is not."""

_TOKENS: Final = [
    *(bytes([byte]) for byte in b'\0\t\n\r\x7f\x80\xff !"#%*,./:;=?@[\\]_'),
    *(b"\r\n", b"\r\n\r\n", b"HTTP/1.0", b"HTTP/1.1", b"HEAD ", b"POST ", b"OPTIONS ", b"http://"),
    *(b"Host: a.example\r\n", b"Host:", b"Connection: close\r\n", b"Connection: keep-alive, x\r\n"),
    *(b"Transfer-Encoding: chunked\r\n", b"Content-Length: 5\r\n", b"Content-Length: 0\r\n"),
    *(b"Expect: 100-continue\r\n", b"0\r\n\r\n", b"5\r\nhello\r\n", b"Via: 1.1 a\r\n"),
    *(b"Upgrade: websocket\r\n", b"Upgrade: h2c\r\n", b"Connection: Upgrade\r\n"),
    *(b"Sec-WebSocket-Version: 13\r\n", b"Sec-WebSocket-Protocol: a, b\r\n"),
    *(b"X-Forwarded-For: ::1, 192.0.2.9\r\n", b"X-Forwarded-Proto: https\r\n", b"Origin: null\r\n"),
    *(b"/ws", b"/none", b"/origin", b"/moved", b"/new", b"/fields", b"/..", b"%2f", b"%2e"),
    *(b"?a=b", b"x" * 9000),
]


def _table(port: int) -> Compiled:
    def rule(path: str, **more: object) -> dict[str, object]:
        return {"matches": [{"path": {"value": path}}], "backend": {"port": port}, **more}

    def changed(path: str, kind: str, field: str, change: object) -> dict[str, object]:
        return rule(path, filters=[{"type": kind, field: change}])

    prefix = {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/old"}
    rewritten = {"hostname": "b.example", "path": prefix}
    fields = {"set": [{"name": "X-A", "value": "b"}], "remove": ["cookie"]}
    rules = [
        rule("/"),
        rule("/ws", upgrade="Required"),
        rule("/none", upgrade="Disabled"),
        rule("/origin", allowedOrigins=["https://*.example.com"]),
        changed("/moved", "RequestRedirect", "requestRedirect", {"scheme": "https"}),
        changed("/new", "URLRewrite", "urlRewrite", rewritten),
        changed("/fields", "RequestHeaderModifier", "requestHeaderModifier", fields),
    ]
    routes = manifests.parse(json.dumps(routes_of(rules)))
    return Compiled(routes, {})


class _Recorder(asyncio.Protocol):
    """A connection to the backend."""

    def __init__(self, rig: Rig) -> None:
        self._rig: Final = rig
        self._transport: asyncio.Transport
        self._request: h11.Request
        self._parser: Final = h11.Connection(h11.SERVER)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._rig.seen.size += len(data)
        if self._parser.their_state is h11.SWITCHED_PROTOCOL:
            return
        self._parser.receive_data(data)
        try:
            for event in self._events():
                if isinstance(event, h11.Request):
                    self._begin(event)
                elif isinstance(event, h11.EndOfMessage):
                    self._answer()
        except h11.RemoteProtocolError as error:
            self._rig.seen.faults.append(f"the backend was sent {data!r}: {error}")
            self._transport.abort()

    def _events(self) -> Iterator[object]:
        while True:
            event = self._parser.next_event()
            if event in (h11.NEED_DATA, h11.PAUSED) or isinstance(event, h11.ConnectionClosed):
                return
            yield event

    def _begin(self, request: h11.Request) -> None:
        self._request = request
        self._rig.seen.heads += 1
        host = dict(request.headers)[b"host"]
        if not (_HOST.fullmatch(host) and request.target.startswith(b"/")):
            self._rig.seen.faults.append(
                f"the backend was asked for {request.target!r} of {host!r}"
            )

    def _answer(self) -> None:
        fields = dict(self._request.headers)
        if fields.get(b"upgrade") == b"websocket":
            accept = ("Sec-WebSocket-Accept", accept_for(fields[b"sec-websocket-key"]).decode())
            switch = [("Upgrade", "websocket"), ("Connection", "Upgrade"), accept]
            self._send(h11.InformationalResponse(status_code=101, headers=switch))
            return
        self._send(h11.Response(status_code=200, headers=[("Content-Length", "3")]))
        if self._request.method != b"HEAD":
            self._send(h11.Data(data=b"ok\n"))
        self._send(h11.EndOfMessage())
        if self._parser.our_state is h11.DONE:
            self._parser.start_next_cycle()

    def _send(self, event: Any) -> None:
        self._transport.write(self._parser.send(event) or b"")


class _Answer(NamedTuple):
    """What the client got."""

    status: int
    own: bool
    """Whether it is the sidecar's, and what it says then."""
    body: bytes = b""


class _Asked(NamedTuple):
    """A request that the front has taken for one."""

    method: str
    upgrade: bool
    has_body: bool


class Seen:
    """What has become of one stream."""

    def __init__(self) -> None:
        self.asked: Final[list[_Asked]] = []
        self.faults: Final[list[str]] = []
        self.heads = 0
        """Requests that the backend has got."""
        self.size = 0
        """Bytes that it has got."""

    def fault(self, event: str, cause: BaseException | None = None, **fields: object) -> None:
        """In the place of log.error."""
        self.faults.append(f"{event}: {cause!r} {fields}")


class Rig:
    """The sidecar's data port and a backend, in this process."""

    def __init__(self) -> None:
        self.seen = Seen()
        self._live: Final = Live()
        loop, metrics = asyncio.get_running_loop(), Metrics()
        engine = AsyncioEngine(loop)
        self._tunnels: Final = Tunnels(engine.time, 100, metrics)
        self._forward: Final = Forwarder(
            settings=Settings(trusted_proxies=(ipaddress.ip_network("192.0.2.0/24"),)),
            live=self._live,
            tunnels=self._tunnels,
            engine=engine,
            metrics=metrics,
        )
        self._server: Final = Server(self._handle)
        self._ends: Final = contextlib.AsyncExitStack()
        self._ends.push_async_callback(self._forward.close)

    async def start(self) -> Rig:
        """Listen as the backend."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: self.seen.faults.append(str(context)))
        backend = await loop.create_server(lambda: _Recorder(self), "127.0.0.1", 0)
        self._ends.callback(backend.close)
        self._live.table = _table(backend.sockets[0].getsockname()[1])
        return self

    async def stop(self) -> None:
        """Close all that is open."""
        await self._ends.aclose()
        await asyncio.sleep(1.0)

    async def _handle(self, exchange: Exchange) -> Finished:
        self.seen.asked.append(_Asked(exchange.method, exchange.wants_upgrade, exchange.has_body))
        return await self._forward(exchange)

    async def check(self, data: bytes) -> Hashable:
        """AssertionError when `data` is mishandled; the answers' statuses."""
        self.seen = Seen()
        with mock.patch.object(log, "error", self.seen.fault):
            async with asyncio.timeout(_LIMIT):
                received = await self._exchanged(data)
            async with asyncio.timeout(_LIMIT):
                while self._server.connections or len(self._tunnels):  # noqa: ASYNC110 - nothing tells
                    await asyncio.sleep(1.0)
        assert self.seen.faults == []
        return _judged(self.seen, received)

    async def _exchanged(self, data: bytes) -> bytes:
        """Send `data`; what comes back until the end of the connection, or up to a tunnel."""
        loop = asyncio.get_running_loop()
        client, far = socket.socketpair()
        client.setblocking(False)
        front: Any
        _, front = await loop.connect_accepted_socket(self._server, far)
        front.proxied = _CLIENTS[len(data) % 3 == 0]
        sending = loop.create_task(_send(client, data))
        received = b""
        try:
            while not _SWITCHED.search(received):
                if not (piece := await loop.sock_recv(client, 65536)):
                    break
                received += piece
        except ConnectionResetError:
            pass  # an end, too: bytes of ours were not read
        finally:
            sending.cancel()
            client.close()
        return received


async def _send(client: socket.socket, data: bytes) -> None:
    loop = asyncio.get_running_loop()
    half = len(data) // 2 if len(data) % 2 else len(data)
    try:
        await loop.sock_sendall(client, data[:half])
        await asyncio.sleep(0.1)
        await loop.sock_sendall(client, data[half:])
    except ConnectionError:
        pass  # refused already


def _judged(seen: Seen, received: bytes) -> Hashable:
    """AssertionError when `received` is not what was asked for; the answers."""
    parser = h11.Connection(h11.CLIENT)
    parser.receive_data(received)
    parser.receive_data(b"")
    answers = [_answer(parser, asked) for asked in seen.asked]
    passed = sum(not answer.own for answer in answers)
    failed = sum(
        answer.own and asked.has_body and answer.status in _LATE
        for answer, asked in zip(answers, seen.asked, strict=True)
    )
    assert passed <= seen.heads <= passed + failed, (answers, seen.heads)
    assert seen.heads or not seen.size
    if parser.our_state is not h11.SWITCHED_PROTOCOL and parser.trailing_data[0]:
        answers.append(_answer(parser, None))
        assert answers[-1].status in _UNREAD
        assert not parser.trailing_data[0]
    return tuple(answers)


def _answer(parser: h11.Connection, asked: _Asked | None) -> _Answer:
    """The next answer; h11.ProtocolError where there is none, or it is malformed."""
    if parser.our_state is not h11.IDLE:
        parser.start_next_cycle()
    headers = [("Host", "a.example")]
    if asked is not None and asked.upgrade:
        headers += [("Connection", "Upgrade"), ("Upgrade", "websocket")]
    parser.send(h11.Request(method=asked.method if asked else "GET", target="/", headers=headers))
    parser.send(h11.EndOfMessage())
    head, body = None, b""
    while True:
        event = parser.next_event()
        if isinstance(event, h11.Response):
            head = event
        elif isinstance(event, h11.InformationalResponse):
            if event.status_code == 101:
                return _Answer(101, own=False)
        elif isinstance(event, h11.Data):
            body += event.data
        else:
            assert isinstance(event, h11.EndOfMessage)
            break
    assert head is not None
    own = (b"server", _OWN) in head.headers
    return _Answer(head.status_code, own, bytes(body[:_TELLING]) if own else b"")


async def _rig() -> Rig:
    return await Rig().start()


def main(arguments: Sequence[str] | None = None) -> None:
    """Fuzz for a while."""
    corpus = [path.read_bytes() for path in sorted(_CORPUS.iterdir())]
    seeds = corpus + [case.request for case in CASES]
    with asyncio.Runner(loop_factory=partial(looptime.new_event_loop, noop_cycles=100)) as runner:
        rig = runner.run(_rig())

        def check(data: bytes) -> Hashable:
            return runner.run(rig.check(data))

        fuzz(Target(__doc__, check, seeds, _TOKENS, _MOST), arguments)
        runner.run(rig.stop())


if __name__ == "__main__":
    main()
