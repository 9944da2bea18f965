"""What the clock asks of a tunnel: pure, "now" is an argument and a deadline the result.

In this order, when several are due: the greatest age, then a missing pong, then idleness, then the
next ping. Pings start one interval after the tunnel opened; while a pong is awaited none is sent.
"""

from __future__ import annotations

import enum
from typing import Final, NamedTuple

from wsroute_sidecar.relay_types import Limits, Reason


class Due(enum.Enum):
    """What is to be done now."""

    AGE = "age"
    PONG = "pong"
    IDLE = "idle"
    PING = "ping"


class Moments(NamedTuple):
    """The times that matter, in seconds of one monotonic clock."""

    opened: float
    active: float
    pinged: float | None
    """When the last ping was sent."""
    awaiting: bool
    """Whether a pong is still to come."""


CLOSES: Final = {
    Due.AGE: (Reason.MAX_DURATION, 1001, "connection reached its maximum duration"),
    Due.PONG: (Reason.PING_TIMEOUT, 1011, "no answer to a ping"),
    Due.IDLE: (Reason.IDLE, 1001, "connection was idle for too long"),
}
"""Reason, close code and text for each end that the clock brings."""


def deadlines(limits: Limits, moments: Moments) -> list[tuple[float, Due]]:
    """All deadlines of the tunnel, those first that win when several are due."""
    found = []
    if limits.max_age is not None:
        found.append((moments.opened + limits.max_age, Due.AGE))
    if moments.awaiting and moments.pinged is not None and limits.pong_timeout is not None:
        found.append((moments.pinged + limits.pong_timeout, Due.PONG))
    if limits.idle is not None:
        found.append((moments.active + limits.idle, Due.IDLE))
    if limits.ping_interval is not None and not (moments.awaiting and limits.pong_timeout):
        last = moments.opened if moments.pinged is None else moments.pinged
        found.append((last + limits.ping_interval, Due.PING))
    return found


def due(limits: Limits, moments: Moments, now: float) -> Due | None:
    """What is to be done at `now`, if anything."""
    return next((what for when, what in deadlines(limits, moments) if when <= now), None)


def next_deadline(limits: Limits, moments: Moments) -> float | None:
    """When to look again; None for never."""
    return min((when for when, _ in deadlines(limits, moments)), default=None)
