"""Rotation of the keys that sign snapshots: a new one is added by age, an old one dropped in time.

- Only the leader does it. Of two that believe to lead each may add a key, which harms nobody.
- When the newest key is old enough, another is added. Pods that are admitted from then on trust
  both; what is sent to the others goes on being signed with the newest that they trust.
- A key is dropped when a newer one has been there for an hour and no live pod depends on it. The
  hour is for other replicas: their webhook injects the keys that they read up to a minute ago, and
  what they admit appears here later. A key that nobody depends on then is never needed again.
- A key that is not named after a time was put there by hand. It is neither counted nor dropped.

Pods go on trusting a key that was dropped, but nobody has its private half any more. A key that
became known to others is another matter: pods trust it until they are replaced.
"""

from __future__ import annotations

import asyncio
import calendar
import itertools
import time
from collections.abc import Collection, Iterator, Mapping
from typing import Final

from wsroute_api import log
from wsroute_operator.index import Index
from wsroute_operator.keys import TIME_FORMAT, KeyStore, fresh
from wsroute_operator.kube import KubeError

_CHECK_SECONDS: Final = 60.0
_OVERLAP_SECONDS: Final = 3600.0
_DAY: Final = 86400.0


async def rotate(store: KeyStore, index: Index, days: float) -> None:
    """Keep no key newest for longer than `days`, for ever; to be cancelled when others lead."""
    await index.complete.wait()
    while True:
        try:
            await _round(store, index, days)
        except (KubeError, ValueError) as error:
            log.warning("signing_keys_not_rotated", error=str(error))
        await asyncio.sleep(_CHECK_SECONDS)


async def _round(store: KeyStore, index: Index, days: float) -> None:
    now = time.time()
    names = store.names()
    for name in free(names, store.keyring.needed(index.pods()), now):
        await store.drop(name)
    if aged(names, now, days * _DAY):
        await store.add(fresh(now))


def aged(names: Collection[str], now: float, seconds: float) -> bool:
    """Whether the newest of the keys with these `names` was made `seconds` before `now`."""
    made = _made(max(names, default=""))
    return made is not None and now - made >= seconds


def free(names: Mapping[str, str], needed: Collection[str], now: float) -> Iterator[str]:
    """The names of the keys that may go; `names` gives the public key of each name."""
    ordered = sorted(names)
    for name, newer in itertools.pairwise(ordered):
        since = _made(newer)
        superseded = since is not None and now - since >= _OVERLAP_SECONDS
        if superseded and _made(name) is not None and names[name] not in needed:
            yield name


def _made(name: str) -> float | None:
    """When the key of this name was made, in seconds since the epoch."""
    try:
        return calendar.timegm(time.strptime(name, TIME_FORMAT))
    except ValueError:
        return None
