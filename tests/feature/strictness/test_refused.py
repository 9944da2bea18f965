"""Requests that are refused before the backend sees a byte, each run in three ways."""

from __future__ import annotations

import pytest

from tests.feature.strictness.refusals import CASES, Case
from tests.feature.strictness.rig import SMUGGLED, Client
from tests.support.backend import Backend
from tests.support.sidecar import Sidecar

every_case = pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])


def test_the_names_of_the_cases_are_distinct() -> None:
    assert len({case.name for case in CASES}) == len(CASES)


def check(case: Case, client: Client, *, followed: bool = False) -> None:
    """One response of the sidecar's own, and then the end of the connection."""
    reply = client.last_reply(method=case.request[:4].rstrip())
    assert reply.status == case.status or (followed and reply.status == 400)
    assert reply.field(b"Server") == [b"wsroute"]
    assert reply.rest == b""
    if case.request[:5] != b"HEAD ":
        assert reply.body.startswith(b"wsroute: %d " % reply.status)
    if reply.status == 426:
        assert reply.field(b"Upgrade") == [b"websocket"]
        assert reply.field(b"Connection") == [b"Upgrade"]
    else:
        assert reply.field(b"Connection") == [b"close"]


@every_case
def test_it_is_refused_whole(case: Case, sidecar: Sidecar, backend: Backend) -> None:
    with Client(sidecar.port) as client:
        client.send(case.request)
        check(case, client)
    assert backend.connections == []


@every_case
def test_it_is_refused_a_byte_at_a_time(case: Case, sidecar: Sidecar, backend: Backend) -> None:
    with Client(sidecar.port) as client:
        client.send(case.request, piecewise=len(case.request) < 2000)
        check(case, client)
    assert backend.connections == []


@every_case
def test_what_follows_it_is_not_read(case: Case, sidecar: Sidecar, backend: Backend) -> None:
    with Client(sidecar.port) as client:
        client.send(case.request + SMUGGLED)
        check(case, client, followed=True)  # aiohttp's parser drops a head before broken bytes
    assert backend.connections == []
