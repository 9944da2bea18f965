"""What is measured: names, units, and what the rounds come to."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DIRECT = "no proxy"
# proxy -> figure's key -> one value for each round
Samples = dict[str, dict[str, list[float]]]


@dataclass(frozen=True)
class Figure:
    """Something measured of every proxy."""

    key: str
    title: str
    unit: str
    more_is_better: bool = False


@dataclass(frozen=True)
class Shape:
    """A shape of echo load; `rate` is messages a second in all, below every proxy's saturation."""

    label: str
    size: int
    tunnels: int
    rate: int

    @property
    def title(self) -> str:
        """Its size and its tunnels."""
        return f"{self.label} x {self.tunnels}"


SHAPES = [
    Shape("128 B", 128, 64, 5_000),
    Shape("16 KiB", 16 * 1024, 64, 2_000),
    Shape("256 KiB", 256 * 1024, 16, 200),
]
IDLE_TUNNELS = 4_000

FIGURES = [
    *(Figure(f"cpu {shape.label}", f"CPU per echo, {shape.title}", "µs") for shape in SHAPES),
    Figure("cpu handshake", "CPU per handshake", "µs"),
    Figure("tunnel memory", f"memory per idle tunnel of {IDLE_TUNNELS:,}", "B"),
    Figure("rest private", "memory at rest, no file's", "KiB"),
    Figure("rest pss", "memory at rest, Pss", "KiB"),
    Figure("rest resident", "memory at rest, with its files", "KiB"),
    Figure("idle cpu", f"CPU of {IDLE_TUNNELS:,} idle tunnels, pings every 30 s", "µs/s"),
    *(
        Figure(f"{key} {shape.label}", f"latency {key}, {shape.title}, {shape.rate}/s", "µs")
        for shape in SHAPES
        for key in ("p50", "p99", "p99.9")
    ),
    *(
        Figure(f"rate {shape.label}", f"throughput, {shape.title}", "echoes/s", more_is_better=True)
        for shape in SHAPES
    ),
    Figure("handshake rate", "handshakes", "1/s", more_is_better=True),
    Figure("swap", "1,000 routes changed, until served", "ms"),
    Figure("stall", "longest wait of an echo meanwhile", "ms"),
    Figure("calm", "longest wait without a change", "ms"),
]


@dataclass(frozen=True)
class Row:
    """One figure of one proxy over all rounds, with its ratios to nginx and to the best peer."""

    figure: Figure
    proxy: str
    low: float
    median: float
    high: float
    to_nginx: float | None
    to_best: float | None


def rows(samples: Samples, own: Sequence[str]) -> list[Row]:
    """All figures of all proxies; ratios are of medians, and the best peer is none of `own`."""
    return [row for figure in FIGURES for row in _rows_of(figure, samples, own)]


def _rows_of(figure: Figure, samples: Samples, own: Sequence[str]) -> list[Row]:
    medians = {
        proxy: median(values[figure.key])
        for proxy, values in samples.items()
        if values.get(figure.key)
    }
    rivals = [value for proxy, value in medians.items() if proxy not in (DIRECT, *own)]
    best = (max if figure.more_is_better else min)(rivals, default=None)
    return [
        Row(
            figure,
            proxy,
            min(samples[proxy][figure.key]),
            value,
            max(samples[proxy][figure.key]),
            _ratio(value, medians.get("nginx")),
            _ratio(value, best),
        )
        for proxy, value in medians.items()
    ]


def _ratio(value: float, to: float | None) -> float | None:
    return value / to if to else None


def merge(samples: Samples, proxy: str, values: Mapping[str, float]) -> None:
    """Add one round's values of a proxy."""
    for key, value in values.items():
        samples.setdefault(proxy, {}).setdefault(key, []).append(value)
