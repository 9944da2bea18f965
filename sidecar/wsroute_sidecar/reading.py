"""Reading with a bound: a piece is never larger than READ_SIZE, whatever the loop would take."""

from __future__ import annotations

import asyncio
from typing import Final

READ_SIZE: Final = 64 * 1024
"""Bytes that are taken from a connection at a time; uvloop's own reads take 256,000."""

_shared: Final = memoryview(bytearray(READ_SIZE))  # between the two calls nothing else is read


class Reader(asyncio.BufferedProtocol):
    """A protocol that is given what comes as asyncio.Protocol's are, in bounded pieces."""

    __slots__ = ()

    @staticmethod  # uvloop keeps it for each connection: a function is shared, a method is not
    def get_buffer(sizehint: int) -> memoryview:
        return _shared

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(_shared[:nbytes].tobytes())

    def data_received(self, data: bytes) -> None:
        """Take `data`, which came next."""
        raise NotImplementedError
