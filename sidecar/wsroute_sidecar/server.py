"""The process: which sockets there are, and in which order things start and end."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import os
import resource
import signal
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Final

from wsroute_api import log
from wsroute_api.address import Address
from wsroute_sidecar import control, engines, health
from wsroute_sidecar.adapter import Server
from wsroute_sidecar.config import Settings
from wsroute_sidecar.drain import Drainer
from wsroute_sidecar.engines import Engine
from wsroute_sidecar.forward import Begin, Forwarder
from wsroute_sidecar.headers import within
from wsroute_sidecar.metrics import Metrics
from wsroute_sidecar.ports import Port
from wsroute_sidecar.proxied import ProxiedServer
from wsroute_sidecar.routes import Live
from wsroute_sidecar.serving import Serving
from wsroute_sidecar.tunnels import Tunnels

if TYPE_CHECKING:
    from wsroute_sidecar.accepting import Acceptor
    from wsroute_sidecar.tls import Certificate
    from wsroute_sidecar.tracing import Tracer

_RESERVED_FILES: Final = 256
"""Descriptors that tunnels leave to listeners, health, pushes and plain HTTP."""

_EXTRA: Final = 96
"""Clients beyond the tunnels that there may be, each with a socket of its own and a backend's: who
is refused, who only asks by plain HTTP, who says nothing. Beyond them connections are cut."""

_LAST_WORDS: Final = 1.0
"""Seconds that requests in flight have when everything else has ended."""

_PATIENCE: Final = 60.0
"""Seconds that a program has for the answer to what it has asked before."""

_BACKLOG: Final = 4096

_SILENCE: Final = 1
"""Seconds that a client may say nothing before it is accepted nevertheless: who comes with its
request needs no transport to wait for it."""


def capacity() -> int:
    """How many tunnels the limit on open files allows; each has two sockets."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(1, (soft - _RESERVED_FILES) // 2)


async def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, then drain; ValueError where a setting is wrong."""
    with engines.running(settings.relay) as engine:
        await _serve(settings, engine)


async def _serve(settings: Settings, engine: Engine) -> None:
    live = Live()
    metrics = Metrics()
    tunnels = Tunnels(engine.time, capacity(), metrics)
    drainer = Drainer(tunnels)
    serving = Serving(live, drainer)
    forward = Forwarder(
        settings=settings,
        live=live,
        tunnels=tunnels,
        engine=engine,
        metrics=metrics,
        tracer=_tracer() if settings.tracing else None,
    )
    bare = engine.bare

    def full(connections: int) -> bool:
        calling = 0 if bare is None else bare.calling
        return connections + calling + tunnels.established > tunnels.capacity + _EXTRA

    server = Server(forward, full)
    stop = _stop_signals(asyncio.get_running_loop())
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(forward.close)
        stack.push_async_callback(server.shutdown, _LAST_WORDS)
        await stack.enter_async_context(_routes(settings, serving))
        await stack.enter_async_context(
            _http(health.port(live, tunnels, metrics), settings.metrics, "metrics")
        )
        await stack.enter_async_context(_control(control.port(live, tunnels, drainer), settings))
        begin = None
        if bare is not None and bare.takes(settings.backend_host):
            begin = functools.partial(forward.begin, bare)
        _settle()
        await stack.enter_async_context(_listening(server, settings, begin))
        log.info("started", listen=str(settings.listen), relay=engine.name, pid=os.getpid())
        signalled = await stop.wait()
        at_once = signalled == signal.SIGINT
        drainer.drain(at_once=at_once)
        window = 0.0 if at_once else _window(live)
        await _drained(_finished(drainer, server, window), stop)
    log.info("stopped")


def _settle() -> None:
    """Have the collector not look again at what stays, which took it 20 ms each time."""
    gc.collect()
    gc.freeze()


class _Signals:
    """The first signal begins the drain, a second one ends it."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[signal.Signals] = asyncio.Queue()
        self.put: Final = self._queue.put_nowait

    async def wait(self) -> signal.Signals:
        return await self._queue.get()


def _stop_signals(loop: asyncio.AbstractEventLoop) -> _Signals:
    signals = _Signals()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, signals.put, number)
    return signals


def _window(live: Live) -> float:
    """The longest of the rules' drain windows, in seconds."""
    policies = () if live.table is None else live.table.policies()
    return max((policy.drain for policy in policies), default=0.0)


async def _finished(drainer: Drainer, server: Server, window: float) -> None:
    """Wait for the last tunnel, and until `window` is over for plain HTTP that is in flight."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    await drainer.drained()
    await server.shutdown(max(begun + window - loop.time(), _LAST_WORDS))


async def _drained(finished: Coroutine[None, None, None], stop: _Signals) -> None:
    drained, impatient = asyncio.ensure_future(finished), asyncio.ensure_future(stop.wait())
    await asyncio.wait((drained, impatient), return_when=asyncio.FIRST_COMPLETED)
    for task in (drained, impatient):
        task.cancel()


@contextlib.asynccontextmanager
async def _routes(settings: Settings, serving: Serving) -> AsyncIterator[None]:
    """Where routes come from: the file of standalone mode, or the operator's pushes."""
    if settings.routes is None:
        from wsroute_sidecar import admin  # noqa: PLC0415 - libsodium, which files do not need

        snapshots = admin.Snapshots(settings, serving)
        snapshots.restore(time.time())
        async with _http(admin.port(snapshots, serving), settings.push, "push"):
            yield
        return
    from wsroute_sidecar.standalone import Manifests  # noqa: PLC0415 - YAML, as pushes do not

    manifests = Manifests(settings.routes, serving)
    manifests.load()
    watch = asyncio.create_task(manifests.watch())
    try:
        yield
    finally:
        watch.cancel()


def _http(port: Port, address: Address, what: str) -> contextlib.AbstractAsyncContextManager[None]:
    loop = asyncio.get_running_loop()

    def listen(server: Server) -> Awaitable[asyncio.Server]:
        return loop.create_server(server, address.host, address.port)

    return _answering(port, f"--{what} {address}", listen)


@contextlib.asynccontextmanager
async def _control(port: Port, settings: Settings) -> AsyncIterator[None]:
    """The management socket; what an earlier process left in its place is removed."""
    path = settings.control

    async def listen(server: Server) -> asyncio.Server:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        listener = await asyncio.get_running_loop().create_unix_server(server, str(path))
        path.chmod(0o660)
        return listener

    try:
        async with _answering(port, f"--control {path}", listen):
            yield
    finally:
        path.unlink(missing_ok=True)


@contextlib.asynccontextmanager
async def _answering(
    port: Port, flag: str, listen: Callable[[Server], Awaitable[asyncio.Server]]
) -> AsyncIterator[None]:
    """Answer on what `listen` opens; ValueError names the `flag` where it cannot."""
    server = port.server()
    try:
        listener = await listen(server)
    except OSError as error:
        raise ValueError(f"{flag}: {error.strerror}") from error
    try:
        yield
    finally:
        listener.close()
        await server.shutdown(_PATIENCE)


@contextlib.asynccontextmanager
async def _listening(
    server: Server, settings: Settings, begin: Begin | None
) -> AsyncIterator[None]:
    """The data port: plain, with TLS, or behind the PROXY protocol."""
    loop = asyncio.get_running_loop()
    factory: Callable[[], asyncio.BaseProtocol] = server
    watch = None
    if settings.proxy_protocol:
        trusted = settings.trusted_proxies
        factory = ProxiedServer(server, lambda peer: within(peer, trusted))
    elif settings.tls_cert is not None and settings.tls_key is not None:
        certificate = _certificate(settings.tls_cert, settings.tls_key)
        factory = certificate.secured(server)
        watch = asyncio.create_task(certificate.watch())
    address = settings.listen
    try:
        listener = await loop.create_server(
            factory, address.host, address.port, backlog=_BACKLOG, start_serving=False
        )
    except OSError as error:
        raise ValueError(f"--listen {address}: {error.strerror}") from error
    for sock in listener.sockets:  # what is accepted there inherits it
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, _SILENCE)
    closing: Acceptor | asyncio.Server = listener
    if begin is not None and factory is server:
        from wsroute_sidecar.accepting import Acceptor  # noqa: PLC0415 - where the crate is built

        sockets = [sock.dup() for sock in listener.sockets]
        listener.close()
        for sock in sockets:
            sock.listen(_BACKLOG)
        closing = Acceptor(server, sockets, begin)
    else:
        await listener.start_serving()
    try:
        yield
    finally:
        closing.close()
        if watch is not None:
            watch.cancel()


def _tracer() -> Tracer:
    try:
        from wsroute_sidecar.tracing import Tracer  # noqa: PLC0415 - not installed by default
    except ImportError as error:
        raise ValueError("--tracing: install wsroute[tracing], it needs OpenTelemetry") from error
    return Tracer()


def _certificate(chain: Path, key: Path) -> Certificate:
    from wsroute_sidecar.tls import Certificate  # noqa: PLC0415 - 3 MB that only TLS pays for

    try:
        return Certificate(chain, key)
    except OSError as error:
        raise ValueError(f"--tls-cert {chain}, --tls-key {key}: {error}") from error
