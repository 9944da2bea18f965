"""Where the sidecar differs from Debian's nginx and HAProxy, and why.

The peers run with their defaults, and with what WebSockets need. A verdict is what reached the
backend: nothing (REFUSED), a request (PASSED), or a handshake that became a tunnel (TUNNEL).
It is of the versions in VERSIONS; a peer of another one is left out.
"""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from tests.bench.install import MissingError
from tests.bench.proxies import PROXIES, Place, Proxy
from tests.feature.strictness.refusals import CASES
from tests.feature.strictness.rig import Client
from tests.feature.strictness.test_forwarded import CASES as PASSING
from tests.support.backend import Backend
from tests.support.sidecar import Sidecar, free_ports, route
from tests.support.waiting import until

VERSIONS: Final = {"nginx": "nginx/1.22.", "haproxy": "HAProxy version 2.6."}
REFUSED, PASSED, TUNNEL = "refused", "passed", "tunnel"
REQUESTS: Final = {case.name: case.request for case in CASES} | {
    name: case.sent for name, case in PASSING.items()
}


class Row(NamedTuple):
    """A request of the other tables, by its name, and what becomes of it."""

    name: str
    own: str
    nginx: str
    haproxy: str
    why: str


ROWS: Final = [
    Row("the least", PASSED, PASSED, PASSED, "the same"),
    Row("no method", REFUSED, REFUSED, REFUSED, "the same"),
    Row("chunked twice (framing)", REFUSED, REFUSED, REFUSED, "the same"),
    Row("different lengths (framing)", REFUSED, REFUSED, REFUSED, "the same"),
    Row("a space before the colon", REFUSED, REFUSED, REFUSED, "the same"),
    Row(
        "both (framing)",
        REFUSED,
        REFUSED,
        PASSED,
        "RFC 9112 6.3 lets a proxy drop the length, as HAProxy does; it may refuse, too",
    ),
    Row(
        "equal lengths (framing)",
        REFUSED,
        REFUSED,
        PASSED,
        "RFC 9110 8.6 lets equal ones be merged; no client has a reason to send them",
    ),
    Row(
        "a fold with a space",
        REFUSED,
        REFUSED,
        PASSED,
        "RFC 9112 5.2: refuse, or undo it; what was undone here is read anew there",
    ),
    Row(
        "a bare LF after the line",
        REFUSED,
        PASSED,
        PASSED,
        "RFC 9112 2.2 lets LF end a line; two readers that differ in it are smuggling",
    ),
    Row("only LF", REFUSED, PASSED, PASSED, "the same rule, for a whole head"),
    Row("NUL in a value", REFUSED, REFUSED, PASSED, "RFC 9110 5.5: NUL is dangerous"),
    Row("an escape in a value", REFUSED, PASSED, PASSED, "a terminal may show the backend's log"),
    Row("Latin-1 in a value", REFUSED, PASSED, PASSED, "frameworks disagree on how to decode it"),
    Row(
        "an underscore in the name",
        REFUSED,
        PASSED,
        PASSED,
        "CGI makes one name of X_A and X-A; nginx drops the field in silence",
    ),
    Row("no colon", REFUSED, PASSED, REFUSED, "nginx drops the line in silence"),
    Row("a name in brackets", REFUSED, PASSED, REFUSED, "nginx drops the field in silence"),
    Row("an unknown method", REFUSED, PASSED, PASSED, "the parser knows the registered ones"),
    Row("a method in small letters", REFUSED, REFUSED, PASSED, "methods are case-sensitive"),
    Row("HTTP/1.9", REFUSED, PASSED, PASSED, "no such version will ever be"),
    Row("HTTP/3.0", REFUSED, REFUSED, PASSED, "its framing is another one"),
    Row("CONNECT a.example:80", REFUSED, REFUSED, PASSED, "no backend is to be a proxy"),
    Row(
        "RTSP's name of the protocol, which the parser does not tell",
        PASSED,
        REFUSED,
        REFUSED,
        "llhttp takes it for HTTP; nothing that is forwarded depends on it",
    ),
    Row("the target b'/a#b'", REFUSED, PASSED, REFUSED, "nginx cuts it; a matcher would not"),
    Row("the target b'/a%zz'", REFUSED, REFUSED, PASSED, "every decoder reads it in its own way"),
    Row("the target b'/?a=%00'", REFUSED, PASSED, PASSED, "NUL ends strings in C"),
    Row("the target b'/caf\\xc3\\xa9'", REFUSED, PASSED, REFUSED, "RFC 3986: no such character"),
    Row(
        "the target b'http://b.example/'",
        REFUSED,
        PASSED,
        REFUSED,
        "RFC 9112 3.2.2: the target goes before Host, and a backend may not know",
    ),
    Row("the target b'*'", REFUSED, REFUSED, PASSED, "it is of OPTIONS alone"),
    Row("no Host", REFUSED, REFUSED, PASSED, "RFC 9112 3.2: a server must refuse"),
    Row("Host twice", REFUSED, REFUSED, PASSED, "RFC 9112 3.2: a server must refuse"),
    Row("the Host b'user@a.example'", REFUSED, PASSED, PASSED, "hosts have no users"),
    Row("the Host b'a.example:http'", REFUSED, PASSED, PASSED, "ports are numbers"),
    Row("the Host b'a%2eexample'", REFUSED, PASSED, PASSED, "it is one host or another, decoded"),
    Row("101 fields", REFUSED, PASSED, REFUSED, "HAProxy's limit is 101, nginx has none"),
    Row("a cookie of 15 KB", PASSED, REFUSED, PASSED, "nginx's buffer for a field has 8 KB"),
    Row("Connection: Cookie", REFUSED, PASSED, PASSED, "it would take the session away"),
    Row("version '8'", REFUSED, TUNNEL, TUNNEL, "RFC 6455 4.4: what follows is another protocol"),
    Row("no version", REFUSED, TUNNEL, TUNNEL, "RFC 6455 4.2.1"),
    Row("no key", REFUSED, TUNNEL, REFUSED, "RFC 6455 4.2.1: then no accept can prove anything"),
    Row("a key of 17 bytes", REFUSED, TUNNEL, TUNNEL, "RFC 6455 4.2.1: 16 bytes"),
    Row("a key twice", REFUSED, TUNNEL, TUNNEL, "which of them does the accept prove?"),
    Row(
        "Upgrade without Connection",
        PASSED,
        TUNNEL,
        PASSED,
        "RFC 9110 7.8: without Connection no hop has asked; nginx adds it for the client",
    ),
    Row("Upgrade in HTTP/1.0", PASSED, TUNNEL, TUNNEL, "RFC 9110 7.8: to be ignored in HTTP/1.0"),
    Row("Upgrade twice", PASSED, TUNNEL, TUNNEL, "it is no upgrade to WebSocket alone"),
]


class Running(NamedTuple):
    """A proxy's port, and its own backend."""

    port: int
    backend: Backend


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def start(stack: ExitStack, proxy: Proxy, folder: Path) -> Running:
    backend = stack.enter_context(Backend())
    (port,) = free_ports(1)
    place = Place(port, backend.port, folder)
    command = [str(word) for word in proxy.command(proxy.find(), place)]
    quiet = subprocess.DEVNULL
    process = stack.enter_context(subprocess.Popen(command, stdout=quiet, stderr=quiet))
    stack.callback(process.terminate)
    until(lambda: listens(port), f"the start of {proxy.name}")
    backend.reset()
    return Running(port, backend)


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Running]]:
    with ExitStack() as stack:
        own = stack.enter_context(Backend())
        sidecar = stack.enter_context(Sidecar([route(own.port)]))
        found = {"own": Running(sidecar.port, own)}
        for proxy in PROXIES:
            if proxy.name in VERSIONS and is_known(proxy):
                found[proxy.name] = start(stack, proxy, tmp_path_factory.mktemp(proxy.name))
        yield found


def is_known(proxy: Proxy) -> bool:
    """Whether the peer is there, in its version; in CI it must be there."""
    try:
        program = proxy.find()
    except MissingError:
        if os.environ.get("CI") == "true":
            raise
        return False
    told = subprocess.run([program, "-v"], capture_output=True, text=True, check=True)
    return VERSIONS[proxy.name] in told.stdout + told.stderr


def verdict(place: Running, data: bytes) -> str:
    with Client(place.port) as client:
        client.send(data)
        reply = client.reply()
    place.backend.settle()
    received = place.backend.received
    place.backend.reset()
    if reply.status == 101:
        return TUNNEL
    return PASSED if received else REFUSED


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_where_the_sidecar_differs_from_its_peers(row: Row, places: dict[str, Running]) -> None:
    data = REQUESTS[row.name]
    found = {name: verdict(place, data) for name, place in places.items()}
    expected = {"own": row.own, "nginx": row.nginx, "haproxy": row.haproxy}
    assert found == {name: expected[name] for name in places}, row.why
