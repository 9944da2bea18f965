"""kopf in a thread of its own, with a loop of its own: it watches, and does nothing else.

kopf takes the process's signals and, when it ends, cancels every task that was made after its
start. In its own thread it can do neither to the rest of the operator, and a burst of events does
not delay a push. If it fails it is started again; what the index holds stays meanwhile.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import random
from collections.abc import Iterator
from typing import Final

import kopf

from wsroute_api import log
from wsroute_operator import handlers
from wsroute_operator.index import Index, Item, Kind
from wsroute_operator.kube import SELECTOR

_LONGEST_PAUSE: Final = 5.0
"""Between two tries to reach the API server: two watches of a few replicas are no burden."""


class _Backoffs:
    """Pauses without end: a watch that gives up would leave the operator deaf."""

    def __iter__(self) -> Iterator[float]:
        pause = 0.5
        while True:
            yield pause * random.uniform(0.5, 1.0)  # noqa: S311 - jitter
            pause = min(2 * pause, _LONGEST_PAUSE)


def settings() -> kopf.OperatorSettings:
    """How kopf watches."""
    # kopf warns, and only warns, that it handles no signals in a thread: it is there for that.
    logging.getLogger("kopf._core.reactor.running").setLevel(logging.ERROR)
    chosen = kopf.OperatorSettings()
    chosen.posting.enabled = False
    chosen.process.ultimate_exiting_timeout = None
    chosen.watching.label_selectors["v1", "pods"] = SELECTOR
    # A stream that dies without being closed would be waited on for ever. The server ends each
    # after five minutes, the client a little later, and silence beyond the interval of the
    # server's bookmarks (60 s) ends it sooner.
    chosen.watching.server_timeout = 300
    chosen.watching.client_timeout = 330
    chosen.watching.connect_timeout = 10
    chosen.watching.inactivity_timeout = 70
    chosen.watching.chunk_size = 500
    chosen.networking.connect_timeout = 10
    chosen.networking.request_timeout = 60
    chosen.networking.error_backoffs = _Backoffs()
    return chosen


async def watch(index: Index) -> None:
    """Keep `index` like the cluster until cancelled."""
    loop = asyncio.get_running_loop()
    stop: concurrent.futures.Future[None] = concurrent.futures.Future()

    def take_in(kind: Kind, uid: str, item: Item | None, version: int, listed: bool) -> None:
        if listed:
            index.relisted.set()
        if item is None:
            index.drop(kind, uid)
        else:
            index.put(item, version)

    def feed(kind: Kind, uid: str, item: Item | None, version: int, listed: bool) -> None:
        if not stop.done():
            loop.call_soon_threadsafe(take_in, kind, uid, item, version, listed)

    thread = asyncio.create_task(asyncio.to_thread(_run, feed, stop))
    try:
        await asyncio.shield(thread)
    finally:
        stop.set_result(None)
        await thread


def _run(feed: handlers.Feed, stop: concurrent.futures.Future[None]) -> None:
    pauses = iter(_Backoffs())
    while not stop.done():
        try:
            asyncio.run(_operate(feed, stop))
        except Exception as error:  # noqa: BLE001 - whatever it is, a deaf operator is worse
            log.error("watches_failed", error)
        concurrent.futures.wait([stop], timeout=next(pauses))


async def _operate(feed: handlers.Feed, stop: concurrent.futures.Future[None]) -> None:
    await kopf.operator(
        registry=handlers.registry(feed),
        settings=settings(),
        clusterwide=True,
        standalone=True,
        # kopf would look up the name of its user, which in a container has none. It takes a
        # NewType of str that it does not export.
        identity="wsroute",  # type: ignore[arg-type]
        # Shielded: kopf cancels what it waits for when it fails, and that would reach `stop`.
        stop_flag=asyncio.shield(asyncio.wrap_future(stop)),
    )
