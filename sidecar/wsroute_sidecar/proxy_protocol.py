"""PROXY protocol version 2: a trusted proxy says, before anything else, who its client is.

The header is binary: a signature of 12 bytes, version and command, family, and a length that covers
addresses and extensions (haproxy.org, proxy-protocol.txt, section 2.2). Extensions are passed over.
"""

from __future__ import annotations

import ipaddress
from typing import Final, NamedTuple

SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
MAX_LENGTH: Final = 2048
"""Bytes after the fixed part; addresses take 36 at most, the rest are extensions."""

_FIXED: Final = len(SIGNATURE) + 4
_LOCAL, _PROXY = 0x20, 0x21
_ADDRESS_BYTES: Final = {0x11: 4, 0x21: 16}  # TCP over IPv4, TCP over IPv6


class Header(NamedTuple):
    """A whole header."""

    size: int
    """Bytes that it takes."""
    address: str | None
    """The client's address; None where the proxy speaks for itself (a health check)."""


def parse(data: bytes | bytearray) -> Header | None:
    """The header at the start of `data`, None while it is not whole; ValueError if it is none."""
    if not data.startswith(SIGNATURE[: len(data)]):
        raise ValueError("it does not begin with a PROXY protocol header of version 2")
    if len(data) < _FIXED:
        return None
    command, family = data[12], data[13]
    length = int.from_bytes(data[14:16], "big")
    if command not in (_LOCAL, _PROXY) or length > MAX_LENGTH:
        raise ValueError("its PROXY protocol header has an unknown version, command or length")
    size = _FIXED + length
    if len(data) < size:
        return None
    if command == _LOCAL or family not in _ADDRESS_BYTES:
        return Header(size, None)
    width = _ADDRESS_BYTES[family]
    if length < 2 * width + 4:
        raise ValueError("its PROXY protocol header is too short for its addresses")
    raw = bytes(data[_FIXED : _FIXED + width])
    return Header(size, str(ipaddress.ip_address(raw)))
