"""Deadlines for those who dribble, and what a flood of broken requests costs the log."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.feature.strictness.refusals import CASES
from tests.feature.strictness.rig import Client, request
from tests.support.backend import Backend, Connection
from tests.support.sidecar import Sidecar


def _silent(client: Client) -> None:
    client.send(b"GET / HTTP/1.1\r\nHost: a")


def _dribbling(client: Client) -> None:
    client.send(b"GET / HTTP/1.1\r\nHost: a.example\r\nX-A: ")
    _drop(client, b"a")


def _endless(client: Client) -> None:
    client.send(b"GET / HTTP/1.1\r\nHost: a.example\r\n")
    _drop(client, b"X-A: b\r\n")


def _blank(client: Client) -> None:
    _drop(client, b"\r\n")


def _drop(client: Client, data: bytes) -> None:
    """Send `data` again and again until there is an answer."""
    client.sock.settimeout(0.2)
    end = time.monotonic() + 20
    while time.monotonic() < end:
        client.send(data)
        try:
            client.more()
        except TimeoutError:
            continue
        return


SLOW: dict[str, Callable[[Client], None]] = {
    "silence in a head": _silent,
    "a byte at a time": _dribbling,
    "a head that never ends": _endless,
    "blank lines": _blank,
}


def test_a_head_that_is_not_there_in_ten_seconds_is_a_408(
    sidecar: Sidecar, backend: Backend
) -> None:
    def one(slow: Callable[[Client], None]) -> tuple[int, bytes, float]:
        begun = time.monotonic()
        with Client(sidecar.port) as client:
            slow(client)
            client.sock.settimeout(15)
            reply = client.last_reply()
        return reply.status, reply.rest, time.monotonic() - begun

    with ThreadPoolExecutor(len(SLOW)) as pool:
        found = dict(zip(SLOW, pool.map(one, SLOW.values()), strict=True))
    assert {name: (status, rest) for name, (status, rest, _) in found.items()} == dict.fromkeys(
        SLOW, (408, b"")
    )
    assert all(9.5 < seconds < 12.5 for _, _, seconds in found.values())
    assert backend.connections == []


@pytest.mark.parametrize("begun", [False, True], ids=["no response", "half a response"])
def test_a_backend_that_is_late_is_a_504_or_cut(
    begun: bool, sidecar: Sidecar, backend: Backend
) -> None:
    def script(connection: Connection) -> None:
        connection.until(b"\r\n\r\n")
        if begun:
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi")
        connection.drain()

    backend.reset(script)
    with Client(sidecar.port) as client:
        start = time.monotonic()
        client.send(request(target=b"/soon"))
        reply = client.last_reply()
        assert 0.3 < time.monotonic() - start < 3
    assert reply.status == (200 if begun else 504)
    assert len(reply.body) < 9 if begun else reply.body.startswith(b"wsroute: 504 ")


def test_an_upload_that_dribbles_ends_with_the_requests_deadline(
    sidecar: Sidecar, backend: Backend
) -> None:
    with Client(sidecar.port) as client:
        start = time.monotonic()
        client.send(request(b"Content-Length: 1000", method=b"POST", target=b"/soon"))
        _drop(client, b"a")
        client.sock.settimeout(5)
        assert client.last_reply().status == 504
        assert time.monotonic() - start < 3


def test_a_flood_of_broken_requests_costs_a_line_a_second_each_and_no_one_else(
    sidecar: Sidecar, backend: Backend
) -> None:
    since, begun = len(sidecar.log), time.monotonic()
    broken = [case.request for case in CASES if len(case.request) < 2000 and case.status != 302]
    forged = request(target=b'/%0a{"event":"forged"}', method=b"CONNECT")

    def one(data: bytes) -> None:
        with Client(sidecar.port) as client:
            client.send(data)
            client.rest()

    with ThreadPoolExecutor(8) as pool:
        for _ in pool.map(one, [*broken, forged] * 10):
            pass
    seconds = time.monotonic() - begun
    with Client(sidecar.port) as client:
        client.send(request())
        assert client.reply().status == 200
    lines = sidecar.log[since:]
    kinds = {line["event"] for line in lines}
    assert kinds <= {"request_malformed", "request_refused"}
    assert len(lines) <= len(kinds) * (seconds + 2)
    assert max(line.get("left_out", 0) for line in lines) > 100
