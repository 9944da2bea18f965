"""What is known of one pod's sidecar, and what its answer to a push means.

States of a delivery, and what leads on:

    wanted != held, nothing under way   -> send at once
    sent, 200                           -> held; nothing to do until something changes
    sent, 409                           -> send again with a version above the one it named
    sent, refused (403, 413, 422)       -> wait long: the same bytes would be refused again
    sent, anything else or no answer    -> wait a little, longer each time
    another table is wanted             -> send at once: the newest wins
    the container is another one        -> held is forgotten; send at once

A sidecar is in a tenant's pod and its answers are not to be trusted beyond that pod: what it says
about versions raises only its own, and its texts are cut before they are shown.
"""

from __future__ import annotations

from typing import Final

import msgspec

from wsroute_operator.objects import Pod
from wsroute_operator.plan import PodTable

_FIRST_DELAY: Final = 0.2
_LONGEST_DELAY: Final = 30.0
_REFUSED_DELAY: Final = 60.0
_PATIENCE: Final = 3
_VERSION_LIMIT: Final = 2**53
_SHOWN: Final = 300

Version = tuple[int, int]


class Held(msgspec.Struct, frozen=True):
    """It has the table now."""


class Outrun(msgspec.Struct, frozen=True):
    """It has a snapshot of a higher version."""

    version: Version


class Failed(msgspec.Struct, frozen=True):
    """It does not have the table."""

    reason: str
    """For people: what happened, and what to do where they can do something."""
    lasting: bool = False
    """Whether the same bytes would fail again."""


Answer = Held | Outrun | Failed


class _Body(msgspec.Struct):
    """What a sidecar's answer may hold."""

    error: str = ""
    epoch: int = -1
    seq: int = -1


def read(status: int, body: bytes) -> Answer:
    """What a sidecar meant by its answer to a push."""
    try:
        content = msgspec.json.decode(body, type=_Body)
    except msgspec.MsgspecError:
        content = _Body()
    said = _shown(content.error) or f"HTTP status {status}"
    match status:
        case 200:
            return Held()
        case 409 if _sane(content.epoch) and _sane(content.seq):
            return Outrun((content.epoch, content.seq))
        case 403:
            return Failed(
                f"the sidecar does not accept the signature ({said}): compare the clocks of its "
                "node and the operator's, or delete the pod to have it injected anew",
                lasting=True,
            )
        case 413:
            return Failed(f"its routes are too large together ({said}): use fewer", lasting=True)
        case 421:
            return Failed(f"another pod answers at its address ({said})")
        case 422:
            return Failed(f"the sidecar refused its routes: {said}", lasting=True)
        case 429:
            return Failed("the sidecar asks for fewer pushes")
        case _:
            return Failed(f"the sidecar answered {said}")


def _shown(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text[:_SHOWN])


def _sane(number: int) -> bool:
    return 0 <= number < _VERSION_LIMIT


class Attempt(msgspec.Struct, frozen=True):
    """One push: to whom, of what, and as which version."""

    pod: Pod
    table: PodTable
    version: Version


class Delivery:
    """The state of one pod's delivery."""

    def __init__(self, pod: Pod, table: PodTable, epoch: int) -> None:
        self.pod = pod
        self.wanted = table
        self.held: PodTable | None = None
        self.failure: Failed | None = None
        self._failures = 0
        self._version: Version = (epoch, 0)

    @property
    def due(self) -> bool:
        """Whether something is to be sent."""
        return self.pod.reachable and (self.held is None or self.held.digest != self.wanted.digest)

    @property
    def settled(self) -> bool:
        """Whether the outcome is known, good or bad, or cannot come about now."""
        return not self.due or self.failure is not None

    def update(self, pod: Pod, table: PodTable) -> bool:
        """Take in what the cluster now says; whether a delivery that waits should wait no more."""
        changed = table.digest != self.wanted.digest
        if _instance(pod) != _instance(self.pod):
            self.held = None
            self.failure = None
            self._failures = 0
            changed = True
        self.pod, self.wanted = pod, table
        return changed

    def attempt(self) -> Attempt:
        """The next push: the newest table, in a version above every one sent or heard of."""
        epoch, seq = self._version
        self._version = (epoch, seq + 1)
        return Attempt(self.pod, self.wanted, self._version)

    def heard(self, attempt: Attempt, answer: Answer) -> None:
        """Take in the answer to `attempt`; one from a process that is gone says nothing."""
        if _instance(attempt.pod) != _instance(self.pod):
            return
        match answer:
            case Held():
                self.held, self.failure, self._failures = attempt.table, None, 0
                return
            case Outrun(version):
                self._version = max(self._version, version)
            case Failed():
                self.failure = answer
        self._failures += 1
        if self._failures > _PATIENCE and self.failure is None:
            self.failure = Failed("the sidecar always claims to hold something newer")

    def delay(self, chance: float) -> float:
        """Seconds until the next try; `chance`, from 0 to 1, spreads pods that fail together."""
        if self.failure is not None and self.failure.lasting:
            return _REFUSED_DELAY * (0.75 + chance / 2)
        longest = min(_LONGEST_DELAY, _FIRST_DELAY * 2.0 ** min(self._failures - 1, 30))
        return longest * (0.5 + chance / 2)


def _instance(pod: Pod) -> tuple[str, str]:
    """What differs as soon as another process may answer."""
    return (pod.address, pod.sidecar.container_id if pod.sidecar else "")
