"""Which deadline is due: a timer wheel for thousands of tunnels and one timer.

Deadlines are kept in slots of TICK seconds, so moving one costs a set operation, and a tunnel that
ends leaves nothing behind. A deadline is never early, and late by less than a tick.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Hashable
from typing import Final, Generic, TypeVar

TICK: Final = 0.05
_SPARE: Final = 1000

_Item = TypeVar("_Item", bound=Hashable)


class Wheel(Generic[_Item]):
    """Items by deadline, at most one each. Times are of one monotonic clock, in seconds."""

    def __init__(self) -> None:
        self._slots: dict[int, set[_Item]] = {}
        self._order: list[int] = []  # a heap of all slots, and some that are gone
        self._slot_of: dict[_Item, int] = {}

    def schedule(self, item: _Item, when: float) -> None:
        """Let `item` be due at `when`, and no more at an earlier-given time."""
        slot = math.ceil(when / TICK)
        if self._slot_of.get(item) == slot:
            return
        self.cancel(item)
        self._slot_of[item] = slot
        if slot not in self._slots:
            self._slots[slot] = set()
            heapq.heappush(self._order, slot)
        self._slots[slot].add(item)

    def cancel(self, item: _Item) -> None:
        """Forget `item`."""
        slot = self._slot_of.pop(item, None)
        if slot is None:
            return
        items = self._slots[slot]
        items.discard(item)
        if not items:
            del self._slots[slot]
            if len(self._order) > _SPARE + 2 * len(self._slots):
                self._order = sorted(self._slots)

    def due(self, now: float) -> list[_Item]:
        """Take out all items whose deadline is at or before `now`."""
        items: list[_Item] = []
        while self._order and self._order[0] * TICK <= now:
            items += self._slots.pop(heapq.heappop(self._order), ())
        for item in items:
            del self._slot_of[item]
        return items

    def next(self) -> float | None:
        """When `due` may have something; None while there is nothing."""
        while self._order and self._order[0] not in self._slots:
            heapq.heappop(self._order)
        return self._order[0] * TICK if self._order else None
