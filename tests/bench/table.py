"""The figures as a table of text."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.bench.figures import Row

HEAD = ("figure", "proxy", "min", "median", "max", "/nginx", "/best peer")


def number(value: float) -> str:
    """Three digits that count, thousands apart."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def table(rows: Sequence[Row]) -> str:
    """One line for each figure and proxy, in columns; a figure's name stands once."""
    lines: list[Sequence[str]] = [HEAD]
    for figure, group in groupby(rows, key=lambda row: row.figure):
        name = f"{figure.title} ({figure.unit})"
        for row in group:
            spread = [number(value) for value in (row.low, row.median, row.high)]
            lines.append([name, row.proxy, *spread, _ratio(row.to_nginx), _ratio(row.to_best)])
            name = ""
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEAD))]
    return "\n".join(_aligned(line, widths) for line in lines)


def _aligned(line: Sequence[str], widths: Sequence[int]) -> str:
    cells = [
        cell.ljust(width) if column < 2 else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(line, widths, strict=True))
    ]
    return "  ".join(cells).rstrip()
