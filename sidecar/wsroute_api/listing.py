"""Live tunnels as people read them, beside one sidecar and over many.

A connection is an entry of the sidecar's answer to GET /v1/connections.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from wsroute_api import log

Connection = Mapping[str, Any]
Column = tuple[str, Callable[[Connection], str]]

_UNITS: Final = ("", "K", "M", "G", "T")


def table(connections: Sequence[Connection], columns: Sequence[Column]) -> str:
    """`connections` in aligned columns, the oldest first."""
    oldest_first = sorted(connections, key=lambda c: -c["age"])
    rows = [[cell(connection) for _, cell in columns] for connection in oldest_first]
    return aligned([[head for head, _ in columns], *rows])


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """`rows` of equal length as lines, each column as wide as its widest cell.

    What a peer, or a pod, wrote into a cell is shown, and never obeyed by a terminal.
    """
    safe = [[log.escaped(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*safe, strict=True)]
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) for row in safe]
    return "\n".join(line.rstrip() for line in lines)


def duration(seconds: float) -> str:
    """`seconds` as kubectl writes an age: 45s, 12m, 3h20m, 2d4h."""
    whole = int(seconds)
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if whole < 120:
        return f"{whole}s"
    if hours < 3:
        return f"{minutes}m"
    if days < 2:
        return f"{hours}h{minutes % 60}m" if minutes % 60 else f"{hours}h"
    return f"{days}d{hours % 24}h" if hours % 24 else f"{days}d"


def _amount(number: float) -> str:
    for unit in _UNITS:
        if number < 1000 or unit == _UNITS[-1]:
            break
        number /= 1024
    return f"{number:.0f}{unit}" if number >= 10 or not unit else f"{number:.1f}{unit}"


def latency(seconds: float | None) -> str:
    """A round trip in milliseconds, a dash where none was measured."""
    return "-" if seconds is None else f"{seconds * 1000:.1f}ms"


COLUMNS: Final[Sequence[Column]] = (
    ("ID", lambda c: c["id"]),
    ("ROUTE", lambda c: c["route"]),
    ("RULE", lambda c: c["rule"]),
    ("CLIENT", lambda c: c["client"]),
    ("AGE", lambda c: duration(c["age"])),
    ("IDLE", lambda c: duration(c["idle"])),
    ("IN", lambda c: _amount(c["bytesIn"])),
    ("OUT", lambda c: _amount(c["bytesOut"])),
    ("MESSAGES", lambda c: f"{c['messagesIn']}/{c['messagesOut']}"),
    ("RTT", lambda c: latency(c["clientRtt"])),
    ("SUBPROTOCOL", lambda c: c["subprotocol"] or "-"),
)
"""What is known of every tunnel."""
