"""Connections that begin with a PROXY protocol header: how many there may be."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Final

import pytest

from tests.support.wire import Wire
from wsroute_sidecar.adapter import Exchange, Finished, Server
from wsroute_sidecar.proxied import ProxiedServer
from wsroute_sidecar.proxy_protocol import SIGNATURE

MOST: Final = 2
HEALTH_CHECK: Final = SIGNATURE + b"\x20\0\0\0"
REQUEST: Final = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
OK: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


async def answered(exchange: Exchange) -> Finished:
    await exchange.start(OK, chunked=False).write_eof()
    return Finished(keep_alive=True)


@pytest.fixture
async def port() -> AsyncIterator[int]:
    server = Server(answered, lambda connections: connections > MOST)
    factory = ProxiedServer(server, lambda peer: True)
    listener = await asyncio.get_running_loop().create_server(factory, "127.0.0.1", 0)
    yield listener.sockets[0].getsockname()[1]
    listener.close()
    await server.shutdown(0.1)


async def connect(port: int) -> Wire:
    wire = Wire(socket.socket())
    await asyncio.get_running_loop().sock_connect(wire.sock, ("127.0.0.1", port))
    return wire


async def is_cut(wire: Wire) -> bool:
    try:
        return await wire.rest() == b""
    except ConnectionResetError:
        return True
    finally:
        wire.leave()


async def test_a_connection_counts_before_its_header_has_come(port: int) -> None:
    silent = [await connect(port) for _ in range(MOST)]
    assert await is_cut(await connect(port))
    for wire in silent:
        await wire.send(HEALTH_CHECK + REQUEST)
        assert await wire.read(len(OK)) == OK
        wire.leave()


async def test_a_connection_counts_once_when_its_header_has_come(port: int) -> None:
    first, second = await connect(port), await connect(port)
    await first.send(HEALTH_CHECK + REQUEST)
    assert await first.read(len(OK)) == OK
    assert await is_cut(await connect(port))
    first.leave()
    second.leave()


@pytest.mark.parametrize("last_words", [b"", b"GET / HTTP/1.1"], ids=["silent", "no header"])
async def test_who_leaves_without_a_header_gives_its_place_back(
    port: int, last_words: bytes
) -> None:
    for _ in range(MOST * 3):
        wire = await connect(port)
        await wire.send(last_words)
        wire.end_output()
        assert await is_cut(wire)
    wire = await connect(port)
    await wire.send(HEALTH_CHECK + REQUEST)
    assert await wire.read(len(OK)) == OK
    wire.leave()
