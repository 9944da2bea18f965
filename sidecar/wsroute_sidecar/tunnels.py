"""All live tunnels: who they are, how many there are, and how the last ones ended."""

from __future__ import annotations

import random
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterator
from typing import Final, TypeVar

import msgspec

from wsroute_api import log
from wsroute_sidecar.metrics import Metrics
from wsroute_sidecar.policy import Policy
from wsroute_sidecar.relay_types import End, Initiator, Reason, Tunnel
from wsroute_sidecar.requests import Refusal

_REMEMBERED: Final = 100
_Key = TypeVar("_Key", bound=tuple[str, ...])


def new_id() -> str:
    """A name for a request: short enough to be typed, and not to be guessed twice."""
    return _name(random.getrandbits(48))


def _name(number: int) -> str:
    return f"{number:012x}"


class Record(msgspec.Struct, gc=False):
    """One tunnel, as it is listed; the engine reports to it.

    The collector need not look for it: of what it refers to, only a tunnel refers to it in turn,
    and lets go of it in the end.
    """

    registry: Tunnels
    number: int
    """Its id, in half of the memory."""
    policy: Policy
    client: str
    subprotocol: str = ""
    tunnel: Tunnel | None = None
    """None while the backend is being called."""
    leaving: bool = False
    """It has its place in a drain, which further changes of routes do not hasten."""
    doomed: tuple[Reason, str] | None = None
    """Why it is to end as soon as it is open."""

    @property
    def id(self) -> str:
        """What people and the backend call it by."""
        return _name(self.number)

    def facts(self) -> dict[str, object]:
        """Who it is, in listings."""
        return {
            "id": self.id,
            "route": self.policy.key,
            "rule": self.policy.rule,
            "client": self.client,
            "port": self.policy.port,
        }

    def close(self, reason: Reason, text: str) -> None:
        """End it with the close code of its rule, now or when its backend has agreed."""
        if self.tunnel is None:
            self.doomed = reason, text
        else:
            self.tunnel.end(reason, self.policy.close_code, text)

    def opened(self, tunnel: Tunnel, subprotocol: str) -> None:
        """The backend has agreed."""
        self.registry.opened(self, tunnel, subprotocol)

    def ended(self, end: End) -> None:
        """The tunnel is gone."""
        self.registry.closed(self, end)

    def ponged(self, side: Initiator, seconds: float) -> None:
        """`side` has answered a ping."""
        self.registry.metrics.ponged(self.policy, side, seconds)


class Ended(msgspec.Struct, frozen=True):
    """A tunnel that is gone. Times in seconds."""

    record: Record
    end: End
    age: float
    at: float


class _AccessLine(log.Line, frozen=True):
    """Who a tunnel is, as `Record.facts` says it."""

    id: str
    route: str
    rule: str
    client: str
    port: int


class _OpenedLine(_AccessLine, frozen=True):
    subprotocol: str


class _EndedLine(_AccessLine, frozen=True):
    reason: Reason
    initiator: Initiator
    code: int | None
    detail: str
    duration: float
    bytes_in: int
    bytes_out: int
    messages_in: int
    messages_out: int


class _Bucket(msgspec.Struct):
    """A token bucket; `at` is when it was last filled."""

    tokens: float
    at: float


class Tunnels:
    """The registry. `time` is the engine's clock, in seconds."""

    def __init__(self, time: Callable[[], float], capacity: int, metrics: Metrics) -> None:
        self.time: Final = time
        self.capacity: Final = capacity
        self.ended: Final[deque[Ended]] = deque(maxlen=_REMEMBERED)
        self.draining = False
        """Whether live tunnels are being ended, and nobody should be led here any more."""
        self.refusing = False
        """Whether no tunnel may begin any more."""
        self.established = 0
        """Those whose backend has agreed."""
        self.metrics: Final = metrics
        self._records: dict[int, Record] = {}
        self._by_rule: Counter[tuple[str, str]] = Counter()
        self._by_client: Counter[tuple[str, str, str]] = Counter()
        self._buckets: dict[tuple[str, str], _Bucket] = {}
        self._empty: Callable[[], None] | None = None

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[Record]:
        return iter(list(self._records.values()))

    def __contains__(self, record: Record) -> bool:
        return self._records.get(record.number) is record

    def admit(self, policy: Policy, client: str) -> Record | Refusal:
        """Count a tunnel in before its backend is called, or say why it may not begin."""
        if self.refusing:
            return _busy(503, "draining", "this pod is being drained")
        if len(self._records) >= self.capacity:
            return _busy(
                503,
                "capacity",
                f"this sidecar holds its {self.capacity} connections already",
                close=True,  # descriptors are scarce
            )
        rule = (policy.key, policy.rule)
        if policy.max_connections is not None and self._by_rule[rule] >= policy.max_connections:
            return _busy(
                503,
                "max_connections",
                f"the rule holds its {policy.max_connections} connections already",
            )
        of_client = self._by_client[*rule, client]
        if policy.max_per_client is not None and of_client >= policy.max_per_client:
            return _busy(
                429,
                "max_per_client",
                f"the client holds its {policy.max_per_client} connections already",
            )
        if policy.handshake_rate is not None and not self._take_token(rule, policy.handshake_rate):
            return _busy(429, "rate", f"more than {policy.handshake_rate} handshakes a second")
        record = Record(self, random.getrandbits(48), policy, sys.intern(client))
        self._records[record.number] = record
        self._by_rule[rule] += 1
        self._by_client[*rule, client] += 1
        return record

    def _take_token(self, rule: tuple[str, str], rate: int) -> bool:
        now = self.time()
        bucket = self._buckets.setdefault(rule, _Bucket(rate, now))
        bucket.tokens = min(rate, bucket.tokens + (now - bucket.at) * rate)
        bucket.at = now
        if bucket.tokens < 1:
            return False
        bucket.tokens -= 1
        return True

    def release(self, record: Record) -> None:
        """Count out a tunnel that has ended, or never began."""
        del self._records[record.number]
        rule = (record.policy.key, record.policy.rule)
        _decrement(self._by_rule, rule)
        _decrement(self._by_client, (*rule, record.client))
        if not self._records and self._empty is not None:
            self._empty()

    def opened(self, record: Record, tunnel: Tunnel, subprotocol: str) -> None:
        """The backend has agreed."""
        self.established += 1
        record.tunnel = tunnel
        record.subprotocol = subprotocol
        self.metrics.tunnel_opened(record.policy)
        policy = record.policy
        log.access(
            _OpenedLine,
            "tunnel_opened",
            record.id,
            policy.key,
            policy.rule,
            record.client,
            policy.port,
            subprotocol,
        )
        if record.doomed is not None:
            record.close(*record.doomed)

    def closed(self, record: Record, end: End) -> None:
        """The tunnel is gone; the access line says how."""
        assert record.tunnel is not None  # noqa: S101 - what has ended was open
        now, stats = self.time(), record.tunnel.stats()
        age = now - stats.opened
        self.ended.append(Ended(record, end, age, now))
        self.established -= 1
        self.release(record)
        self.metrics.tunnel_ended(record.policy, end, stats, age)
        policy = record.policy
        log.access(
            _EndedLine,
            "tunnel_ended",
            record.id,
            policy.key,
            policy.rule,
            record.client,
            policy.port,
            end.reason,
            end.initiator,
            end.code,
            end.detail,
            round(age, 3),
            stats.bytes_in,
            stats.bytes_out,
            stats.messages_in,
            stats.messages_out,
        )

    def when_empty(self, callback: Callable[[], None]) -> None:
        """Call `callback` whenever the last tunnel has gone."""
        self._empty = callback


def _busy(status: int, cause: str, why: str, *, close: bool = False) -> Refusal:
    """A refusal that passes: the client may try again, and not all at once."""
    seconds = random.randint(1, 5)  # noqa: S311 - spreads load
    return Refusal(status, why, (("Retry-After", str(seconds)),), close=close, cause=cause)


def _decrement(counter: Counter[_Key], key: _Key) -> None:
    counter[key] -= 1
    if not counter[key]:
        del counter[key]
