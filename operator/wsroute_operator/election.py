"""The rules of the election by Lease, as Kubernetes' own components follow them.

- Who creates the Lease or writes itself into it first, holds it; each write names the version it
  was based on, so of two that write at once one fails.
- The holder renews it every `RETRY`. A holder that could not for `RENEW_DEADLINE` stops leading.
- The others may take it when it is released (no holder), or when they have seen no renewal for
  the duration it names. They measure that from when they saw it, on their own monotonic clock;
  what the Lease says of time is for people.
- Each change of the holder counts one transition. The count is the leader's epoch: it orders what
  successive leaders sign.

`RENEW_DEADLINE` is shorter than `DURATION`, so a leader that is cut off stops before another
starts, unless it is paused as a whole. Then both may act for a moment, and the epoch decides.
"""

from __future__ import annotations

from typing import Final

import msgspec

DURATION: Final = 10.0
RENEW_DEADLINE: Final = 7.0
RETRY: Final = 2.0


class Lease(msgspec.Struct, frozen=True):
    """What a Lease says."""

    holder: str = ""
    transitions: int = 0
    duration: float = DURATION
    """Seconds without renewal after which others may take it."""
    renewed: str = ""
    """The holder's time of renewal: for comparison only."""


class Candidate:
    """One replica's view of the election."""

    def __init__(self, identity: str) -> None:
        self.identity = identity
        self._seen: Lease | None = None
        self._seen_at = 0.0
        self._transitions = -1

    def bid(self, lease: Lease | None, now: float) -> Lease | None:
        """What to write over `lease`, read at `now` (monotonic); None to leave it alone."""
        if lease is None:
            # A Lease that was deleted comes back with what this replica remembers.
            self._transitions += 1
            return Lease(self.identity, self._transitions)
        self._transitions = max(self._transitions, lease.transitions)
        if lease.holder == self.identity:
            return Lease(self.identity, lease.transitions)
        if lease != self._seen:
            self._seen, self._seen_at = lease, now
        if lease.holder and now - self._seen_at < lease.duration:
            return None
        return Lease(self.identity, self._transitions + 1)
