"""What all relay engines share: what they are given, and what they tell.

An engine is given the client's side, the backend's address, the head to send, and limits as plain
numbers. It dials, has the answer judged, relays, and reports the end. It knows no route.
"""

from __future__ import annotations

import enum
from typing import Final, Protocol

import msgspec

CLOSE_TIMEOUT: Final = 5.0
"""Seconds that a peer has to answer a Close before it is cut (RFC 6455 section 7.1.1)."""

HALF_CLOSE_TIMEOUT: Final = 30.0
"""Seconds that one direction may go on after the other has ended."""

STALL_TIMEOUT: Final = 120.0
"""Seconds without progress after which a peer that does not read is given up."""


class Reason(enum.StrEnum):
    """Why a tunnel ended: exactly one."""

    CLIENT = "client"
    BACKEND = "backend"
    IDLE = "idle"
    MAX_DURATION = "max_duration"
    PING_TIMEOUT = "ping_timeout"
    DRAIN = "drain"
    ROUTE_CHANGE = "route_change"
    LIMIT = "limit"
    KILLED = "killed"
    ERROR = "error"


class Initiator(enum.StrEnum):
    """Who ended it."""

    CLIENT = "client"
    BACKEND = "backend"
    SIDECAR = "sidecar"


class Limits(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How long a tunnel may live. Times in seconds; None is no limit."""

    idle: float | None = None
    idle_data_only: bool = False
    max_age: float | None = None
    ping_interval: float | None = None
    pong_timeout: float | None = None
    max_message: int | None = None


class End(msgspec.Struct, frozen=True):
    """How a tunnel ended."""

    reason: Reason
    initiator: Initiator
    code: int | None
    """Close code of the first Close frame; None when there was none, or it had none."""
    detail: str = ""


class Stats(msgspec.Struct, frozen=True):
    """What a tunnel has done so far. `in` is from the client, `out` is to it."""

    opened: float
    """Time of the engine's clock."""
    active: float
    bytes_in: int
    bytes_out: int
    messages_in: int
    messages_out: int
    client_rtt: float | None
    """Round-trip time of the last pong, in seconds."""
    backend_rtt: float | None


class Tunnel(Protocol):
    """A live tunnel."""

    def stats(self) -> Stats:
        """What it has done so far."""

    def end(self, reason: Reason, code: int, text: str) -> None:
        """Send both sides a Close with `code` and `text`, and cut after CLOSE_TIMEOUT at most."""


class Dial(msgspec.Struct, frozen=True):
    """Where to connect, and what to say there."""

    host: str
    port: int
    head: bytes
    timeout: float | None
    """Seconds from now to the backend's complete answer."""


class DialError(Exception):
    """The backend cannot be reached, or does not answer in time.

    Attributes:
        status: What the client gets: 502 or 504.
        cause: backend_unreachable, backend_answer or backend_timeout.
    """

    def __init__(self, status: int, cause: str, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.cause = cause


class Owner(Protocol):
    """Who is told what becomes of a tunnel."""

    def opened(self, tunnel: Tunnel, subprotocol: str) -> None:
        """The backend has agreed; called once, before anything else."""

    def ended(self, end: End) -> None:
        """The tunnel is gone; called once."""

    def ponged(self, side: Initiator, seconds: float) -> None:
        """`side` has answered a ping after so many seconds."""
