"""Around and after the 101: early bytes, ends by either side, and frames that break RFC 6455."""

from __future__ import annotations

import socket
import struct
import threading
from typing import Final

import pytest

from tests.feature.strictness.rig import SMUGGLED, Client, upgrade
from tests.support.backend import Backend, Connection, switching
from tests.support.sidecar import Sidecar
from tests.support.waiting import until

_END: Final = b"\r\n\r\n"
MASK: Final = b"\x00\x00\x00\x00"


def frame(first: int, payload: bytes = b"", *, length: bytes | None = None) -> bytes:
    """A frame as a client sends it, masked with zeros; `length` as it stands there."""
    size = bytes([0x80 | len(payload)]) if length is None else length
    return bytes([first]) + size + MASK + payload


FRAMES: Final = {
    "text": frame(0x81, b"hi"),
    "binary": frame(0x82, bytes(range(100))),
    "an empty message": frame(0x81),
    "1,000 empty messages": frame(0x81) * 1000,
    "fragments": frame(0x01, b"a") + frame(0x00, b"b") + frame(0x80, b"c"),
    "a ping between fragments": frame(0x01, b"a") + frame(0x89, b"p") + frame(0x80, b"c"),
    "an unsolicited pong": frame(0x8A, b"p"),
    "length in 16 bits": frame(0x82, b"a" * 300, length=b"\xfe\x01\x2c"),
    "length in 64 bits": frame(0x82, b"a" * 70_000, length=b"\xff" + struct.pack("!Q", 70_000)),
    "length in more bits than it needs": frame(0x82, b"hi", length=b"\xfe\x00\x02"),
    "the first reserved bit": frame(0xC1, b"hi"),
    "the second reserved bit": frame(0xA1, b"hi"),
    "the third reserved bit": frame(0x91, b"hi"),
    "all reserved bits": frame(0xF1, b"hi"),
    "opcode 3": frame(0x83, b"hi"),
    "opcode 7": frame(0x87, b"hi"),
    "opcode 11": frame(0x8B, b"hi"),
    "opcode 15": frame(0x8F, b"hi"),
    "a continuation of nothing": frame(0x80, b"hi"),
    "a new message within another": frame(0x01, b"a") + frame(0x81, b"b"),
    "a fragmented ping": frame(0x09, b"hi"),
    "a ping of 126 bytes": frame(0x89, b"a" * 126, length=b"\xfe\x00\x7e"),
    "a length of 2^63": frame(0x82, b"hi", length=b"\xff" + struct.pack("!Q", 1 << 63)),
    "a length of 2^64 - 1": frame(0x82, b"hi", length=b"\xff" + b"\xff" * 8),
    "a length of 2^63 - 1": frame(0x82, b"hi", length=b"\xff\x7f" + b"\xff" * 7),
    "no mask": b"\x81\x02hi",
    "text that is not UTF-8": frame(0x81, b"\xff\xfe\xc0\xaf"),
    "HTTP": SMUGGLED,
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x55" * 64,
    "zeros": b"\x00" * 5000,
    "ones": b"\xff" * 5000,
    "every byte": bytes(range(256)) * 40,
}


@pytest.mark.parametrize("name", FRAMES)
@pytest.mark.parametrize("piecewise", [False, True], ids=["whole", "a byte at a time"])
def test_frames_of_any_kind_pass_unchanged_both_ways(
    name: str, piecewise: bool, sidecar: Sidecar, backend: Backend
) -> None:
    sent = FRAMES[name]
    with Client(sidecar.port) as client:
        client.send(upgrade())
        assert client.reply().status == 101
        client.send(sent, piecewise=piecewise and len(sent) < 3000)
        assert client.exactly(len(sent)) == sent
    backend.settle()
    assert backend.received.partition(_END)[2] == sent


CLOSES: Final = {
    "without a code": frame(0x88),
    "with a code": frame(0x88, b"\x03\xe8"),
    "with a reason": frame(0x88, b"\x03\xe8bye"),
    "with half a code": frame(0x88, b"\x03"),
    "with code 1005": frame(0x88, b"\x03\xed"),
    "with code 1006": frame(0x88, b"\x03\xee"),
    "with code 1015": frame(0x88, b"\x03\xf7"),
    "with code 0": frame(0x88, b"\x00\x00"),
    "with code 65535": frame(0x88, b"\xff\xff"),
    "with a reason that is not UTF-8": frame(0x88, b"\x03\xe8\xff\xfe"),
}


@pytest.mark.parametrize("name", CLOSES)
def test_a_close_of_any_kind_passes_and_ends_the_tunnel(
    name: str, sidecar: Sidecar, backend: Backend
) -> None:
    sent = CLOSES[name]
    unmasked = bytes([sent[0], sent[1] & 0x7F]) + sent[6:]

    def script(connection: Connection) -> None:
        connection.send(switching(connection.until(_END)))
        connection.until(sent)
        connection.send(unmasked)
        connection.drain()

    backend.reset(script)
    with Client(sidecar.port) as client:
        client.send(upgrade())
        assert client.reply().status == 101
        client.send(sent)
        assert client.rest() == unmasked
    backend.settle()
    assert backend.connections[0].ended
    until(lambda: sidecar.connections() == [])
    assert sidecar.ended()[-1]["initiator"] == "client"


class Held:
    """A backend that answers with 101 when it may, and remembers what came before."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.asked = threading.Event()
        self.early = b""

    def __call__(self, connection: Connection) -> None:
        head = connection.until(_END)
        self.asked.set()
        self.go.wait(10)
        self.early = bytes(connection.received).partition(_END)[2]
        connection.send(switching(head))
        connection.echo()


@pytest.mark.parametrize("size", [1, 1000, 64 * 1024, 3_000_000])
def test_frames_before_the_101_reach_the_backend_after_it(
    size: int, sidecar: Sidecar, backend: Backend
) -> None:
    """RFC 9931; CVE-2026-2833."""
    held = Held()
    backend.reset(held)
    payload = bytes(index % 251 for index in range(size))
    early = frame(0x82, payload, length=b"\xff" + struct.pack("!Q", size))
    with Client(sidecar.port) as client:
        sender = threading.Thread(target=client.send, args=(upgrade() + early,))
        sender.start()
        assert held.asked.wait(10)
        held.go.set()
        assert client.reply().status == 101
        assert client.exactly(len(early)) == early
        sender.join(10)
    assert held.early == b""


@pytest.mark.parametrize("how", ["end", "reset"])
def test_a_client_that_leaves_before_the_101_is_noticed_by_the_backend(
    how: str, sidecar: Sidecar, backend: Backend
) -> None:
    asked = threading.Event()

    def script(connection: Connection) -> None:
        connection.until(_END)
        asked.set()
        connection.drain()

    backend.reset(script)
    with Client(sidecar.port) as client:
        client.send(upgrade() + SMUGGLED)
        assert asked.wait(10)
        if how == "reset":
            linger = struct.pack("ii", 1, 0)
            client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    until(lambda: backend.connections[0].ended, seconds=5)
    assert sidecar.connections() == []


def test_a_second_handshake_in_the_same_packet_is_bytes_of_the_tunnel(
    sidecar: Sidecar, backend: Backend
) -> None:
    with Client(sidecar.port) as client:
        client.send(upgrade() + upgrade(target=b"/second"))
        assert client.reply().status == 101
        again = upgrade(target=b"/second")
        assert client.exactly(len(again)) == again
    assert len(backend.connections) == 1


def test_a_clients_end_of_output_passes_after_its_tail(sidecar: Sidecar, backend: Backend) -> None:
    def script(connection: Connection) -> None:
        connection.send(switching(connection.until(_END)))
        connection.drain()
        connection.send(b"\x81\x04tail")

    backend.reset(script)
    with Client(sidecar.port) as client:
        client.send(upgrade())
        assert client.reply().status == 101
        client.send(frame(0x82, b"a" * 100_000, length=b"\xff" + struct.pack("!Q", 100_000)))
        client.finish()
        assert client.rest() == b"\x81\x04tail"
    backend.settle()
    assert len(backend.received.partition(_END)[2]) == 100_000 + 14


def test_a_backends_end_of_output_passes_after_its_tail_as_a_legal_close(
    sidecar: Sidecar, backend: Backend
) -> None:
    def script(connection: Connection) -> None:
        connection.send(switching(connection.until(_END)))
        connection.send(b"\x81\x04tail")
        connection.finish()
        connection.drain()

    backend.reset(script)
    with Client(sidecar.port) as client:
        client.send(upgrade())
        assert client.reply().status == 101
        assert client.exactly(6) == b"\x81\x04tail"
        close = client.exactly(4)
        assert (close[0], close[2:4]) == (0x88, struct.pack("!H", 1001))
        client.exactly(close[1] - 2)
        client.send(frame(0x88, b"\x03\xe9"))
        assert client.rest() == b""


def test_a_backends_reset_is_a_legal_close_for_the_client(
    sidecar: Sidecar, backend: Backend
) -> None:
    def script(connection: Connection) -> None:
        connection.send(switching(connection.until(_END)))
        connection.until(b"now")
        connection.reset()

    backend.reset(script)
    with Client(sidecar.port) as client:
        client.send(upgrade())
        assert client.reply().status == 101
        client.send(frame(0x81, b"now"))
        close = client.exactly(4)
        assert (close[0], close[2:4]) == (0x88, struct.pack("!H", 1011))
        client.send(frame(0x88, b"\x03\xf3"))
        client.rest()
    until(lambda: sidecar.connections() == [])
    assert sidecar.ended()[-1]["initiator"] == "backend"


def test_a_clients_reset_ends_the_connection_to_the_backend(
    sidecar: Sidecar, backend: Backend
) -> None:
    with Client(sidecar.port) as client:
        client.send(upgrade())
        assert client.reply().status == 101
        linger = struct.pack("ii", 1, 0)
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    until(lambda: backend.connections[0].ended, seconds=5)
    until(lambda: sidecar.connections() == [])
    assert sidecar.ended()[-1]["initiator"] == "client"
