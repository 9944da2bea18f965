"""What a rule changes of a request, and who its client is, as the backend and the client see it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

from tests.feature.strictness.rig import Client, Reply, request, upgrade
from tests.support.backend import Backend, Connection, switching
from tests.support.sidecar import Sidecar, route, routes_of

MODIFIER: Final = {
    "set": [{"name": "X-Set", "value": "new"}],
    "add": [{"name": "X-Added", "value": "more"}],
    "remove": ["X-Removed"],
}
FIELDS: Final = (b"X-Set: old", b"X-Added: one", b"X-Removed: secret", b"X-Kept: kept")
CHANGED: Final = {
    b"X-Set": [b"new"], b"X-Added": [b"one", b"more"], b"X-Removed": [], b"X-Kept": [b"kept"],
}  # fmt: skip
REWRITE: Final = {
    "hostname": "inner.example",
    "path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/inner"},
}
Ask = Callable[..., bytes]

OK: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
END: Final = b"\r\n\r\n"
BOTH: Final = pytest.mark.parametrize("ask", [request, upgrade], ids=["plain", "an upgrade"])


def tell(connection: Connection) -> None:
    """Answer with FIELDS."""
    head = connection.until(END)
    switches = b"\r\nupgrade: websocket\r\n" in head.lower()
    answer = switching(head) if switches else OK
    start, rest = answer.split(b"\r\n", 1)
    connection.send(b"\r\n".join([start, *FIELDS, rest]))
    if switches:
        connection.drain()


@pytest.fixture(scope="module")
def running() -> Iterator[Backend]:
    with Backend() as backend:
        yield backend


@pytest.fixture
def backend(running: Backend) -> Backend:
    running.reset(tell)
    return running


@pytest.fixture(scope="module")
def sidecar(running: Backend) -> Iterator[Sidecar]:
    def rule(path: str, kind: str, field: str, change: object) -> dict[str, Any]:
        return {
            "matches": [{"path": {"value": path}}],
            "backend": {"port": running.port},
            "filters": [{"type": kind, field: change}],
        }

    rules = [
        rule("/request", "RequestHeaderModifier", "requestHeaderModifier", MODIFIER),
        rule("/response", "ResponseHeaderModifier", "responseHeaderModifier", MODIFIER),
        rule("/outer", "URLRewrite", "urlRewrite", REWRITE),
        rule("/moved", "RequestRedirect", "requestRedirect", {"scheme": "https", "port": 8443}),
    ]
    with Sidecar([routes_of(rules)]) as sidecar:
        yield sidecar
        assert sidecar.errors() == []


def values(head: bytes, name: bytes) -> list[bytes]:
    """All values of a field, in a head of either direction."""
    return Reply(0, head, b"", b"").field(name)


def asked(port: int, sent: bytes) -> Reply:
    """The answer to `sent`; the connection ends with it."""
    with Client(port) as client:
        client.send(sent)
        return client.reply()


@BOTH
def test_fields_of_a_request_are_set_added_and_removed(
    ask: Ask, sidecar: Sidecar, backend: Backend
) -> None:
    asked(sidecar.port, ask(*FIELDS, target=b"/request"))
    assert {name: values(backend.received, name) for name in CHANGED} == CHANGED


@BOTH
def test_fields_of_an_answer_are_set_added_and_removed(
    ask: Ask, sidecar: Sidecar, backend: Backend
) -> None:
    reply = asked(sidecar.port, ask(target=b"/response"))
    assert reply.status == (101 if ask is upgrade else 200)
    assert {name: reply.field(name) for name in CHANGED} == CHANGED
    assert values(backend.received, b"X-Set") == []


@BOTH
def test_host_and_path_are_rewritten_and_the_query_stays(
    ask: Ask, sidecar: Sidecar, backend: Backend
) -> None:
    asked(sidecar.port, ask(target=b"/outer/a%20b?c=d"))
    assert backend.received.startswith(b"GET /inner/a%20b?c=d HTTP/1.1\r\nHost: inner.example\r\n")
    assert values(backend.received, b"X-Forwarded-Host") == [b"a.example"]


@BOTH
def test_a_redirect_is_the_sidecars_own_answer(
    ask: Ask, sidecar: Sidecar, backend: Backend
) -> None:
    reply = asked(sidecar.port, ask(target=b"/moved/a?b=c"))
    assert (reply.status, reply.field(b"Location")) == (
        302,
        [b"https://a.example:8443/moved/a?b=c"],
    )
    assert backend.connections == []


@pytest.mark.parametrize(
    ("trusted", "status"),
    [
        pytest.param("127.0.0.0/8,192.0.2.0/24", 101, id="believed"),
        pytest.param("192.0.2.0/24", 429, id="not believed"),
    ],
)
def test_trusted_proxies_say_who_a_client_is_and_others_do_not(
    trusted: str, status: int, backend: Backend
) -> None:
    limited = route(backend.port, limits={"maxConnectionsPerClient": 1})

    def through_proxies(client: bytes) -> bytes:
        return upgrade(b"X-Forwarded-For: 203.0.113.9, " + client + b", 192.0.2.1")

    with (
        Sidecar([limited], f"--trusted-proxies={trusted}") as sidecar,
        Client(sidecar.port) as client,
    ):
        client.send(through_proxies(b"198.51.100.1"))
        assert client.reply().status == 101
        opened = sidecar.logged("tunnel_opened")
        assert asked(sidecar.port, through_proxies(b"198.51.100.1")).status == 429
        assert asked(sidecar.port, through_proxies(b"198.51.100.2")).status == status
    assert opened["client"] == ("198.51.100.1" if status == 101 else "127.0.0.1")


@BOTH
def test_with_tracing_on_a_request_stays_in_its_clients_trace(ask: Ask, backend: Backend) -> None:
    trace = b"0af7651916cd43dd8448eb211c80319c"
    with Sidecar([route(backend.port)], "--tracing=true") as sidecar:
        asked(sidecar.port, ask(b"traceparent: 00-" + trace + b"-b7ad6b7169203331-01"))
    (told,) = values(backend.received, b"traceparent")
    assert told.split(b"-")[:2] == [b"00", trace]
