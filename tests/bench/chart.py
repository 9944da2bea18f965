"""The figures as an SVG: a panel of bars for each of the chosen ones, readable light and dark."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from tests.bench.table import number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.bench.figures import Row

CHOSEN = (
    "cpu 128 B",
    "cpu 16 KiB",
    "cpu 256 KiB",
    "cpu handshake",
    "tunnel memory",
    "rest resident",
    "p99 128 B",
    "p99 16 KiB",
    "p99 256 KiB",
)
COLUMNS = 3
WIDTH, NAME_WIDTH, VALUE_WIDTH, GAP = 320, 110, 60, 24
TITLE_HEIGHT, BAR_HEIGHT, BAR_STEP = 34, 14, 20
STYLE = """
text { font: 12px system-ui, sans-serif; fill: #1f2328 }
.title { font-weight: 600 } .note { fill: #59636e } .name { text-anchor: end }
.bar { fill: #afb8c1 } .own { fill: #0969da } .spread { stroke: #59636e }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc } .note { fill: #9198a1 }
  .bar { fill: #656c76 } .own { fill: #4493f8 } .spread { stroke: #d1d7e0 }
}
"""


def _bar(row: Row, top: float, scale: float, own: bool) -> str:
    """A proxy's name, its median as a bar, the spread as a line, and the number."""
    width, middle = row.median * scale, top + BAR_HEIGHT / 2
    low, high = NAME_WIDTH + row.low * scale, NAME_WIDTH + row.high * scale
    baseline = top + BAR_HEIGHT - 3
    return (
        f'<text class="name" x="{NAME_WIDTH - 6}" y="{baseline}">{escape(row.proxy)}</text>'
        f'<rect class="{"own" if own else "bar"}" x="{NAME_WIDTH}" y="{top}" '
        f'width="{max(width, 1):.1f}" height="{BAR_HEIGHT}" rx="2"/>'
        f'<path class="spread" d="M{low:.1f} {middle}H{high:.1f}"/>'
        f'<text x="{max(NAME_WIDTH + width, high) + 5:.1f}" y="{baseline}">'
        f"{number(row.median)}</text>"
    )


def _panel(rows: Sequence[Row], own: Sequence[str]) -> str:
    figure = rows[0].figure
    scale = (WIDTH - NAME_WIDTH - VALUE_WIDTH) / max(row.high for row in rows)
    bars = (
        _bar(row, TITLE_HEIGHT - 10 + index * BAR_STEP, scale, row.proxy in own)
        for index, row in enumerate(rows)
    )
    title = f'<text class="title" x="0" y="12">{escape(f"{figure.title} ({figure.unit})")}</text>'
    return title + "".join(bars)


def chart(rows: Sequence[Row], own: Sequence[str], note: str) -> str:
    """The chosen figures, less is better in each; `own` are the proxies to stand out."""
    panels = [panel for key in CHOSEN if (panel := [row for row in rows if row.figure.key == key])]
    height = TITLE_HEIGHT + BAR_STEP * max(map(len, panels), default=0) + GAP
    drawn = "".join(
        f'<g transform="translate({GAP + index % COLUMNS * (WIDTH + GAP)} '
        f'{GAP + index // COLUMNS * height})">{_panel(panel, own)}</g>'
        for index, panel in enumerate(panels)
    )
    total_width = GAP + COLUMNS * (WIDTH + GAP)
    total_height = GAP + -(-len(panels) // COLUMNS) * height + GAP
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {total_width} {total_height}" '
        f'width="{total_width}" height="{total_height}" role="img" '
        f'aria-label="Cost of wsroute and of other proxies"><style>{STYLE}</style>{drawn}'
        f'<text class="note" x="{GAP}" y="{total_height - 16}">{escape(note)}</text></svg>\n'
    )
