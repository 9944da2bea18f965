from collections.abc import Sequence
from typing import Literal, final

from wsroute_sidecar.headers import Client
from wsroute_sidecar.relay_types import Limits, Stats
from wsroute_sidecar.requests import RawHeaders

SLOT_MASK: int

Event = (
    tuple[Literal["answered"], int, bytes, int]
    | tuple[Literal["opened"], int, Tunnel, str]
    | tuple[Literal["unreachable", "closed", "late", "left"], int, int]
    | tuple[Literal["ponged"], int, str, float]
    | tuple[Literal["ended"], int, str, str, int | None, str]
)

def accept(listener: int, most: int) -> list[tuple[int, str, bytes | Request]]: ...
def opening(received: bytes, accept: bytes) -> tuple[bytes, str, int] | None: ...

@final
class Request:
    received: bytes
    early: bytes
    accept: bytes
    subprotocols: tuple[str, ...]
    method: str
    target: str
    path: str
    query: str
    host: str
    hostname: str
    headers: RawHeaders
    options: Sequence[bytes]
    def __init__(self, received: bytes) -> None: ...
    @property
    def fields(self) -> Request: ...
    def get(self, name: bytes, default: tuple[()], /) -> Sequence[bytes]: ...
    def head(
        self, target: str, host: str, client: Client, identity: bytes, request_id: str
    ) -> bytes: ...

@final
class Tunnel:
    def stats(self) -> Stats: ...
    def end(self, reason: str, code: int, text: str) -> None: ...

@final
class Relay:
    def fileno(self) -> int: ...
    def call(
        self,
        host: str,
        port: int,
        head: bytes,
        timeout: float | None,
        client: int | None,
        terms: tuple[bytes, bytes, Limits] | None,
    ) -> int: ...
    def resume(self, token: int, rest: bytes) -> None: ...
    def cancel(self, token: int) -> None: ...
    def adopt(
        self,
        token: int,
        client: int | None,
        head: bytes,
        early: tuple[bytes, bytes],
        limits: Limits,
    ) -> Tunnel: ...
    def events(self, most: int) -> list[Event]: ...
    def close(self) -> None: ...
