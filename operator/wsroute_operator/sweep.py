"""Compares the index with what the API server lists: what a watch cannot show, and whether it does.

A deletion that happens while a watch is down is never replayed; the comparison finds it. And what
one list named and the watch has not shown by the next, minutes later, proves that the watch is
deaf: then the operator ends, and its successor starts with fresh ones. Lists hold metadata only.
"""

from __future__ import annotations

import asyncio
from typing import Final

from wsroute_api import log
from wsroute_operator import metrics
from wsroute_operator.index import KINDS, Index, Kind
from wsroute_operator.kube import Kube, KubeError

_FIRST_SECONDS: Final = 1.0
"""Between lists until the watches have caught up with one."""


class DeafError(Exception):
    """A watch does not show what the API server lists."""


async def sweep(kube: Kube, index: Index, seconds: float) -> None:
    """Compare every `seconds`, sooner until the index is complete; DeafError ends the operator."""
    earlier: dict[Kind, dict[str, int]] = {kind: {} for kind in KINDS}
    while True:
        for kind in KINDS:
            before = index.known(kind)
            try:
                listed = await kube.versions(kind)
            except KubeError as error:
                log.warning("list_failed", kind=kind, error=str(error))
                continue
            if index.complete.is_set():
                _listen(kind, index, earlier[kind], listed)
                earlier[kind] = listed
            if gone := index.reconcile(kind, before, listed):
                metrics.MISSED_DELETIONS.labels(kind=kind).inc(gone)
                log.warning("missed_deletions", kind=kind, objects=gone)
            metrics.OBJECTS.labels(kind=kind).set(index.count(kind))
        index.mark_all()
        await asyncio.sleep(seconds if index.complete.is_set() else _FIRST_SECONDS)


def _listen(kind: Kind, index: Index, earlier: dict[str, int], listed: dict[str, int]) -> None:
    overdue = index.behind(kind, {uid: v for uid, v in earlier.items() if uid in listed})
    if overdue:
        raise DeafError(f"the watch of {kind} has not shown {len(overdue)} objects since a list")
