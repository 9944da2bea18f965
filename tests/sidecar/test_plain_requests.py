"""What the native engine takes for a plain request to upgrade, and what it makes of it."""

from __future__ import annotations

import asyncio

import pytest

pytest.importorskip("wsroute_sidecar._relay")

from tests.sidecar.request_cases import CASES, NAMELESS, STRANGER, TRUSTED, Case, read
from wsroute_sidecar._relay import Request
from wsroute_sidecar.headers import Client

cases = pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES])
plain_ones = pytest.mark.parametrize(
    "case", [pytest.param(case, id=case.name) for case in CASES if case.plain]
)


@cases
def test_the_engine_takes_what_the_table_says(case: Case) -> None:
    try:
        Request(case.head)
    except ValueError:
        assert not case.plain
    else:
        assert case.plain


@pytest.mark.parametrize("early", [b"", b"\x81\x80mask", b"\r\n\r\n"])
@plain_ones
async def test_a_plain_request_is_what_the_interpreter_takes_it_for(
    case: Case, early: bytes
) -> None:
    found = read(case.head + early, asyncio.get_running_loop())
    assert found is not None
    request, head = Request(case.head + early), found.head
    assert (request.received, request.early) == (case.head + early, found.early)
    names = ("method", "target", "path", "query", "host", "hostname", "options")
    assert [getattr(request, name) for name in names] == [getattr(head, name) for name in names]
    assert tuple(request.headers) == head.headers
    assert request.accept == found.upgrade.accept
    assert request.subprotocols == found.upgrade.subprotocols
    for name in (*head.fields, b"x-none"):
        assert request.fields.get(name, ()) == head.fields.get(name, ())


@pytest.mark.parametrize("client", [STRANGER, TRUSTED, NAMELESS])
@plain_ones
async def test_the_backend_gets_the_same_head(case: Case, client: Client) -> None:
    found = read(case.head, asyncio.get_running_loop())
    assert found is not None
    written = Request(case.head).head("/new?a", "b.example", client, b"me", "1d")
    assert written == found.for_backend("/new?a", "b.example", client)


@plain_ones
def test_an_unfinished_head_is_not_plain(case: Case) -> None:
    for end in (1, len(case.head) // 2, len(case.head) - 1):
        with pytest.raises(ValueError, match="no plain request"):
            Request(case.head[:end])
