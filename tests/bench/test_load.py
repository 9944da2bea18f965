from __future__ import annotations

import os
import shutil
import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from tests.bench.load import Backend, Generator, Target, UnverifiedError, build, cargo
from tests.bench.processes import cores, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(not shutil.which("cargo"), reason="the load generator needs Rust")


@pytest.fixture
def load(tmp_path: Path) -> Generator:
    return Generator(build(), tmp_path)


@pytest.fixture
def backend(load: Generator) -> Iterator[Backend]:
    with load.backend() as backend:
        yield backend


@pytest.mark.parametrize(
    "words",
    [
        ("fmt", "--check"),
        ("clippy", "--quiet", "--all-targets", "--", "--deny", "warnings"),
        ("test", "--quiet"),
    ],
    ids=lambda words: words[0],
)
def test_the_crate_passes(words: tuple[str, ...]) -> None:
    assert cargo(*words).returncode == 0


@pytest.mark.parametrize("size", [8, 128, 65_536, 300_000])
def test_every_echo_of_a_closed_loop_comes_back_whole(
    load: Generator, backend: Backend, size: int
) -> None:
    target = Target(backend.pid, backend.port, backend)
    result = load.run("echo", target, {"tunnels": 3, "size": size, "seconds": 0.1})
    assert result.messages >= 3
    assert result.bytes == result.messages * size
    assert result.cpu_seconds > 0
    assert 0 < result.p50 <= result.p99 <= result.p999 <= result.max


def test_an_open_loop_sends_at_its_rate(load: Generator, backend: Backend) -> None:
    target = Target(backend.pid, backend.port, backend)
    result = load.run("pace", target, {"tunnels": 3, "rate": 500, "seconds": 0.5})
    assert result.messages == 250
    assert result.seconds >= 0.5


def test_idle_tunnels_ping(load: Generator, backend: Backend) -> None:
    target = Target(backend.pid, backend.port, backend)
    result = load.run("idle", target, {"tunnels": 3, "rate": 100, "seconds": 0.1})
    assert (result.messages, result.pongs) == (0, 10)


def test_a_handshake_is_an_echo_and_a_close(load: Generator, backend: Backend) -> None:
    target = Target(backend.pid, backend.port, backend)
    result = load.run("open", target, {"count": 20})
    assert result.messages == 20
    backend.await_rest()


def test_tunnels_of_a_process_that_is_not_measured_are_found_out(
    load: Generator, backend: Backend, tmp_path: Path
) -> None:
    with running(["sleep", "60"], core=cores()[1], log=tmp_path / "log") as bystander:
        elsewhere = Target(bystander.pid, backend.port, backend)
        with pytest.raises(UnverifiedError, match="2 tunnels, but"):
            load.run("echo", elsewhere, {"tunnels": 2})


def _relay(source: socket.socket, sink: socket.socket, flip: int) -> None:
    with suppress(OSError):  # the other side is gone
        while data := source.recv(65_536):
            # The first byte of a piece is a frame's head, the last one payload.
            sink.sendall(data[:-1] + bytes([data[-1] ^ flip]))
    with suppress(OSError):
        sink.shutdown(socket.SHUT_RDWR)


def _forward(listener: socket.socket, port: int) -> None:
    """Forwards the first connection; what the backend says after its handshake is spoiled."""
    client, _ = listener.accept()
    with client, socket.create_connection(("127.0.0.1", port)) as upstream:
        upward = threading.Thread(target=_relay, args=(client, upstream, 0))
        upward.start()
        client.sendall(upstream.recv(65_536))
        _relay(upstream, client, 1)
        upward.join()


def test_a_byte_changed_on_the_way_is_found_out(load: Generator, backend: Backend) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        target = Target(os.getpid(), listener.getsockname()[1], backend)
        forwarder = threading.Thread(target=_forward, args=(listener, backend.port))
        forwarder.start()
        with pytest.raises(UnverifiedError, match="echo 0 differs from what was sent"):
            load.run("echo", target, {"tunnels": 1})
        forwarder.join(10)
