"""When each tunnel of a drain ends: spread evenly over the window, so nobody comes back at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

_Item = TypeVar("_Item")


def spread(items: Sequence[tuple[_Item, float]]) -> list[tuple[float, _Item]]:
    """Offsets for `items`, each with the length of its window, in seconds and in order of time.

    Those with equal windows share theirs: the first ends at once, the last just before the end.
    """
    sizes: dict[float, int] = {}
    for _, window in items:
        sizes[window] = sizes.get(window, 0) + 1
    seen: dict[float, int] = {}
    paced = []
    for item, window in items:
        place = seen.get(window, 0)
        seen[window] = place + 1
        paced.append((window * place / sizes[window], item))
    paced.sort(key=lambda pair: pair[0])
    return paced
