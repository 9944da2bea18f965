"""Compares the index with what the API server lists: what a watch cannot show, and whether it does.

Three comparisons, of metadata only:

- From time to time (`sweep`). What one list named and the watch has not shown by the next, minutes
  later, proves that the watch is deaf: then the operator ends, and its successor starts with fresh
  ones.
- When a watch has begun anew with a list (`mend`). A deletion that happened before is never
  replayed; the comparison finds it.
- Before a replica leads (`catch_up`). Nobody noticed how far its watches were behind, and its
  epoch would bring back to the pods what an earlier leader had replaced.
"""

from __future__ import annotations

import asyncio
from typing import Final

from wsroute_api import log
from wsroute_operator import metrics
from wsroute_operator.index import KINDS, Index, Kind
from wsroute_operator.kube import Kube, KubeError
from wsroute_operator.waits import at_most

_FIRST_SECONDS: Final = 1.0
"""Between lists until the watches have caught up with one."""
_PATIENCE: Final = 5.0
"""Seconds in which a watch that hears shows what a list named."""
_LISTS: Final = 3
"""How many times that long is enough for a watch that has to begin anew, too."""


class DeafError(Exception):
    """A watch does not show what the API server lists."""


async def sweep(kube: Kube, index: Index, seconds: float) -> None:
    """Compare every `seconds`, sooner until the index is complete; DeafError ends the operator."""
    earlier: dict[Kind, dict[str, int]] = {kind: {} for kind in KINDS}
    while True:
        for kind in KINDS:
            listed = await _compare(kube, index, kind)
            if listed is not None and index.complete.is_set():
                _listen(kind, index, earlier[kind], listed)
                earlier[kind] = listed
            metrics.OBJECTS.labels(kind=kind).set(index.count(kind))
        index.mark_all()
        await asyncio.sleep(seconds if index.complete.is_set() else _FIRST_SECONDS)


async def mend(kube: Kube, index: Index) -> None:
    """Compare whenever a watch has begun anew, until cancelled.

    A list of nothing gives no event to notice it by; that is left to `sweep`.
    """
    while True:
        await index.relisted.wait()
        await asyncio.sleep(_FIRST_SECONDS)
        index.relisted.clear()
        for kind in KINDS:
            if await _compare(kube, index, kind) is None:
                index.relisted.set()


async def catch_up(kube: Kube, index: Index) -> None:
    """Return when the index has what is listed now; DeafError if it does not get it."""
    await index.complete.wait()
    for _ in range(_LISTS):
        for kind in KINDS:
            while await _compare(kube, index, kind) is None:  # noqa: ASYNC110 - it is away
                await asyncio.sleep(_FIRST_SECONDS)
        await at_most(_PATIENCE, index.current)
        if index.current.is_set():
            return
    raise DeafError(f"the watches do not show all objects {_LISTS * _PATIENCE:g} s after a list")


async def _compare(kube: Kube, index: Index, kind: Kind) -> dict[str, int] | None:
    """Drop what has gone; the versions by UID of all there is, None where they cannot be had."""
    before = index.known(kind)
    try:
        listed = await kube.versions(kind)
    except KubeError as error:
        log.warning("list_failed", kind=kind, error=str(error))
        return None
    if gone := index.reconcile(kind, before, listed):
        metrics.MISSED_DELETIONS.labels(kind=kind).inc(gone)
        log.warning("missed_deletions", kind=kind, objects=gone)
    return listed


def _listen(kind: Kind, index: Index, earlier: dict[str, int], listed: dict[str, int]) -> None:
    overdue = index.behind(kind, {uid: v for uid, v in earlier.items() if uid in listed})
    if overdue:
        raise DeafError(f"the watch of {kind} has not shown {len(overdue)} objects since a list")
