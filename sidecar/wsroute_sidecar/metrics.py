"""What Prometheus sees: tunnels apart from plain HTTP, with bounded labels.

Labels are a route, a rule, and words of closed lists: never a path, a Host or a client's address.
Counters of bytes and messages grow while a tunnel lives: what has ended is kept as a sum, what
lives is added when it is asked for.
"""

from __future__ import annotations

import bisect
import os
import resource
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec

from wsroute_sidecar.policy import Policy
from wsroute_sidecar.relay_types import End, Stats

_Labels = tuple[tuple[str, str], ...]
_Counters = defaultdict[str, Counter[_Labels]]

_IN: Final = (("direction", "in"),)
_OUT: Final = (("direction", "out"),)

LIFETIMES: Final = (1.0, 10.0, 60.0, 300.0, 1800.0, 3600.0, 14400.0, 43200.0, 86400.0)
LATENCIES: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)


class _Histogram:
    """Counts of values up to each bound, their number and their sum."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds: Final = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect.bisect_left(self.bounds, value)] += 1
        self.total += value


class _Tunnels(msgspec.Struct):
    """What has become of a rule's tunnels, and what they have carried."""

    opened: int = 0
    ends: Counter[tuple[str, str, str]] = msgspec.field(default_factory=Counter)
    lifetimes: _Histogram = msgspec.field(default_factory=lambda: _Histogram(LIFETIMES))
    bytes_in: int = 0
    bytes_out: int = 0
    messages_in: int = 0
    messages_out: int = 0

    def add(self, stats: Stats) -> None:
        self.bytes_in += stats.bytes_in
        self.bytes_out += stats.bytes_out
        self.messages_in += stats.messages_in
        self.messages_out += stats.messages_out

    def copy(self) -> _Tunnels:
        return msgspec.structs.replace(self, ends=self.ends.copy())

    def series(self) -> Iterator[tuple[str, _Labels, int]]:
        yield "wsroute_tunnels_opened_total", (), self.opened
        yield "wsroute_tunnel_bytes_total", _IN, self.bytes_in
        yield "wsroute_tunnel_bytes_total", _OUT, self.bytes_out
        yield "wsroute_tunnel_messages_total", _IN, self.messages_in
        yield "wsroute_tunnel_messages_total", _OUT, self.messages_out
        for end, number in self.ends.items():
            labels = zip(("reason", "initiator", "code"), end, strict=True)
            yield "wsroute_tunnels_ended_total", tuple(labels), number


class Sums:
    """Counters of what has ended, and of the tunnels that are added."""

    def __init__(self, counters: _Counters, tunnels: Mapping[tuple[str, str], _Tunnels]) -> None:
        self.open: Final[Counter[_Labels]] = Counter()
        self._counters: Final = {name: dict(series) for name, series in counters.items()}
        self._tunnels: Final = {rule: each.copy() for rule, each in tunnels.items()}

    def add(self, policy: Policy, stats: Stats) -> None:
        """Count a tunnel that is open."""
        self.open[_route(policy)] += 1
        self._tunnels.setdefault((policy.key, policy.rule), _Tunnels()).add(stats)

    def families(self) -> Iterator[tuple[str, Mapping[_Labels, int]]]:
        """All counters by name, in order."""
        families = defaultdict(dict, self._counters)
        for (route, rule), each in self._tunnels.items():
            for name, labels, amount in each.series():
                families[name][*_labels(route, rule), *labels] = amount
        yield from sorted(families.items())


class Metrics:
    """All counters of the process."""

    def __init__(self) -> None:
        self._counters: _Counters = defaultdict(Counter)
        self._tunnels: defaultdict[tuple[str, str], _Tunnels] = defaultdict(_Tunnels)
        self._histograms: defaultdict[str, dict[_Labels, _Histogram]] = defaultdict(dict)

    def tunnel_opened(self, policy: Policy) -> None:
        """A handshake has been completed."""
        self._tunnels[policy.key, policy.rule].opened += 1

    def tunnel_ended(self, policy: Policy, end: End, stats: Stats, age: float) -> None:
        """A tunnel is gone after `age` seconds."""
        tunnels = self._tunnels[policy.key, policy.rule]
        tunnels.ends[end.reason, end.initiator, _code(end.code)] += 1
        tunnels.lifetimes.observe(age)
        tunnels.add(stats)

    def ponged(self, policy: Policy, side: str, seconds: float) -> None:
        """A pong of `side` (client or backend) came after `seconds`."""
        labels = (*_route(policy), ("side", side))
        self._observe("wsroute_ping_rtt_seconds", labels, LATENCIES, seconds)

    def handshake_failed(self, cause: str) -> None:
        """An upgrade did not become a tunnel; `cause` is one word of forward.py."""
        self._count("wsroute_handshakes_failed_total", (("cause", cause),))

    def request(self, policy: Policy, status: int, seconds: float) -> None:
        """A plain HTTP request was answered."""
        labels = _route(policy)
        code = ("code", f"{status // 100}xx" if 100 <= status < 600 else "none")
        self._count("wsroute_http_requests_total", (*labels, code))
        self._observe("wsroute_http_request_duration_seconds", labels, LATENCIES, seconds)

    def refused(self, status: int) -> None:
        """A request was answered by the sidecar itself."""
        self._count("wsroute_refusals_total", (("status", str(status)),))

    def sums(self) -> Sums:
        """The counters as they are now, to which the tunnels that are open now are to be added.

        That may take a while: one that ends meanwhile is still among them, so nothing counts twice.
        """
        return Sums(self._counters, self._tunnels)

    def render(self, sums: Sums, gauges: Mapping[str, float]) -> str:
        """Everything in Prometheus' text format."""
        lines = [*_family("wsroute_tunnels_open", "gauge", sums.open)]
        for name, series in sums.families():
            lines += _family(name, "counter", series)
        lifetimes = {_labels(*rule): each.lifetimes for rule, each in self._tunnels.items()}
        histograms = {**self._histograms, "wsroute_tunnel_duration_seconds": lifetimes}
        for name, histogram in sorted(histograms.items()):
            lines += _histogram_family(name, histogram)
        for name, value in gauges.items():
            lines += _family(name, "gauge", {(): value})
        lines += _process()
        return "\n".join(lines) + "\n"

    def _count(self, name: str, labels: _Labels) -> None:
        self._counters[name][labels] += 1

    def _observe(self, name: str, labels: _Labels, bounds: tuple[float, ...], value: float) -> None:
        series = self._histograms[name]
        if labels not in series:
            series[labels] = _Histogram(bounds)
        series[labels].observe(value)


HELP: Final = {
    "wsroute_tunnels_open": "Tunnels that are open now.",
    "wsroute_tunnels_opened_total": "Handshakes that became a tunnel.",
    "wsroute_tunnels_ended_total": "Tunnels that have ended, by reason, initiator and close code.",
    "wsroute_tunnel_duration_seconds": "How long tunnels lived.",
    "wsroute_tunnel_bytes_total": "Bytes in tunnels; in is from the client.",
    "wsroute_tunnel_messages_total": "WebSocket messages in tunnels; in is from the client.",
    "wsroute_ping_rtt_seconds": "Round-trip time of the sidecar's own pings.",
    "wsroute_handshakes_failed_total": "Upgrades that did not become a tunnel, by cause.",
    "wsroute_http_requests_total": "Plain HTTP requests that a backend answered.",
    "wsroute_http_request_duration_seconds": "How long plain HTTP requests took.",
    "wsroute_refusals_total": "Requests that the sidecar answered itself, by status.",
    "wsroute_routes": "Routes that are served.",
    "wsroute_draining": "Whether the sidecar takes no new tunnels.",
    "wsroute_tasks": "Tasks in progress: some for each request, none for a tunnel that is open.",
    "process_open_fds": "Open file descriptors.",
    "process_max_fds": "Limit on open file descriptors.",
    "process_resident_memory_bytes": "Resident memory.",
    "process_cpu_seconds_total": "User and system time.",
}


def _route(policy: Policy) -> _Labels:
    return _labels(policy.key, policy.rule)


def _labels(route: str, rule: str) -> _Labels:
    return (("route", route), ("rule", rule))


def _code(code: int | None) -> str:
    """A close code as a bounded label: applications' own codes are counted together."""
    if code is None:
        return "none"
    if 1000 <= code < 1016:
        return str(code)
    return f"{code // 1000}xxx" if 3000 <= code < 5000 else "other"


def _family(name: str, kind: str, series: Mapping[_Labels, float]) -> Iterator[str]:
    yield f"# HELP {name} {HELP[name]}"
    yield f"# TYPE {name} {kind}"
    for labels, value in sorted(series.items()):
        yield (
            f"{name}{_written(labels)} {value:g}"
            if value % 1
            else (f"{name}{_written(labels)} {int(value)}")
        )


def _histogram_family(name: str, series: Mapping[_Labels, _Histogram]) -> Iterator[str]:
    yield f"# HELP {name} {HELP[name]}"
    yield f"# TYPE {name} histogram"
    for labels, histogram in sorted(series.items(), key=lambda item: item[0]):
        count = 0
        for bound, number in zip(histogram.bounds, histogram.counts, strict=False):
            count += number
            yield f"{name}_bucket{_written((*labels, ('le', f'{bound:g}')))} {count}"
        count += histogram.counts[-1]
        yield f"{name}_bucket{_written((*labels, ('le', '+Inf')))} {count}"
        yield f"{name}_sum{_written(labels)} {histogram.total:g}"
        yield f"{name}_count{_written(labels)} {count}"


def _written(labels: _Labels) -> str:
    """Values are names of Kubernetes objects and words of ours: nothing needs escaping."""
    return "{" + ",".join(f'{name}="{value}"' for name, value in labels) + "}" if labels else ""


def _process() -> Iterator[str]:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    values = {
        "process_open_fds": len(os.listdir("/proc/self/fd")),  # noqa: PTH208 - names suffice
        "process_max_fds": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        "process_resident_memory_bytes": pages * resource.getpagesize(),
    }
    for name, value in values.items():
        yield from _family(name, "gauge", {(): value})
    cpu = round(usage.ru_utime + usage.ru_stime, 3)
    yield from _family("process_cpu_seconds_total", "counter", {(): cpu})
