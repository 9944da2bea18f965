"""Addresses on which a program of ours listens, as flags and variables write them."""

from __future__ import annotations

from typing import NamedTuple


class Address(NamedTuple):
    """Where to listen; an empty host stands for every address of the machine."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Address:
        """HOST:PORT, with an IPv6 host in brackets; ValueError otherwise."""
        host, colon, port = text.rpartition(":")
        if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
            raise ValueError(f"{text!r} is not HOST:PORT, such as 127.0.0.1:9300")
        return cls(host.removeprefix("[").removesuffix("]"), int(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
