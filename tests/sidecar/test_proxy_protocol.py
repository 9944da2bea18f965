from __future__ import annotations

import pytest

from wsroute_sidecar.proxy_protocol import MAX_LENGTH, SIGNATURE, Header, parse

V4 = bytes([192, 0, 2, 7, 10, 0, 0, 1]) + b"\x12\x34\x00\x50"
V6 = bytes.fromhex("20010db8000000000000000000000001") * 2 + b"\x12\x34\x00\x50"


def header(body: bytes, command: int = 0x21, family: int = 0x11) -> bytes:
    return SIGNATURE + bytes([command, family]) + len(body).to_bytes(2, "big") + body


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(header(V4), Header(28, "192.0.2.7"), id="ipv4"),
        pytest.param(header(V6, family=0x21), Header(52, "2001:db8::1"), id="ipv6"),
        pytest.param(header(V4 + b"\x03\x00\x01x"), Header(32, "192.0.2.7"), id="an extension"),
        pytest.param(header(b"", 0x20, 0x00), Header(16, None), id="local"),
        pytest.param(header(b"x" * 216, 0x21, 0x31), Header(232, None), id="a unix socket"),
    ],
)
@pytest.mark.parametrize("after", [b"", b"GET / HTTP/1.1\r\n"], ids=["alone", "with more after it"])
def test_a_whole_header_gives_the_client_and_its_own_size(
    data: bytes, expected: Header, after: bytes
) -> None:
    assert parse(data + after) == expected


def test_every_true_prefix_of_a_header_asks_for_more() -> None:
    data = header(V4)

    assert [parse(data[:size]) for size in range(len(data))] == [None] * len(data)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", id="a request"),
        pytest.param(b"PROXY TCP4 192.0.2.7 ", id="version 1"),
        pytest.param(header(V4, command=0x11), id="another version"),
        pytest.param(header(V4, command=0x22), id="another command"),
        pytest.param(header(V4[:8]), id="too short for its addresses"),
        pytest.param(header(b"x" * (MAX_LENGTH + 1)), id="too long"),
    ],
)
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="PROXY"):
        parse(data)
