"""What the cluster holds, as far as it concerns routes: the watches fill it, planning reads it.

Rules:

- An object is known by its UID. A version that is older than what is known changes nothing.
- A namespace is dirty when something that planning looks at has changed in it, and only then.
- A deletion that happens while a watch is down is never shown by that watch. So the index is
  compared with a list from time to time (`reconcile`): what was known before the list was made
  and is not in it has gone.
- The index is `complete` once it has had everything that a first list of each kind named. Before
  that nobody may act on it: a table planned from half of the routes would take the others away.
- It is `current` while it has everything that the latest lists named.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator, Mapping
from typing import Final, Literal

import msgspec

from wsroute_operator.objects import Pod, RouteObject
from wsroute_operator.services import Service

Kind = Literal["routes", "pods", "services"]
KINDS: Final[tuple[Kind, ...]] = ("routes", "pods", "services")
Item = RouteObject | Pod | Service

_KIND: Final[dict[type[Item], Kind]] = {RouteObject: "routes", Pod: "pods", Service: "services"}


class Namespace(msgspec.Struct):
    """The objects of one namespace by UID."""

    routes: dict[str, RouteObject] = {}
    pods: dict[str, Pod] = {}
    services: dict[str, Service] = {}

    def put(self, item: Item) -> None:
        """Take in an object, in place of what was known of it."""
        match item:
            case Pod():
                self.pods[item.uid] = item
            case Service():
                self.services[item.uid] = item
            case RouteObject():
                self.routes[item.uid] = item

    def drop(self, uid: str) -> None:
        """Forget an object."""
        for items in (self.pods, self.routes, self.services):
            items.pop(uid, None)

    def differs_by(self, item: Item) -> bool:
        """Whether planning would see `item` as new; a route's status is none of its business."""
        match item:
            case Pod():
                return self.pods.get(item.uid) != item
            case Service():
                return self.services.get(item.uid) != item
        known = self.routes.get(item.uid)
        return known is None or known.generation != item.generation


class Index:
    """Routes, pods and Services by namespace and UID; for the event loop's own thread only."""

    def __init__(self) -> None:
        self.changed = asyncio.Event()
        """Set when a namespace has become dirty."""
        self.complete = asyncio.Event()
        self.current = asyncio.Event()
        self.relisted = asyncio.Event()
        """Set when a watch has begun with a list: what went before that, it never shows."""
        self._namespaces: dict[str, Namespace] = {}
        self._home: dict[Kind, dict[str, str]] = {kind: {} for kind in KINDS}
        self._versions: dict[Kind, dict[str, int]] = {kind: {} for kind in KINDS}
        self._awaited: dict[Kind, dict[str, int] | None] = dict.fromkeys(KINDS)
        self._dirty: set[str] = set()

    def put(self, item: Item, version: int) -> None:
        """Take in an object as it was at `version`."""
        kind = _KIND[type(item)]
        if version < self._versions[kind].get(item.uid, 0):
            return
        self._versions[kind][item.uid] = version
        self._home[kind][item.uid] = item.namespace
        namespace = self._namespaces.setdefault(item.namespace, Namespace())
        if namespace.differs_by(item):
            self._mark(item.namespace)
        namespace.put(item)
        self._arrived(kind, item.uid, version)

    def drop(self, kind: Kind, uid: str) -> None:
        """Forget an object; one that is not known is no mistake."""
        self._versions[kind].pop(uid, None)
        if (home := self._home[kind].pop(uid, None)) is not None:
            self._namespaces[home].drop(uid)
            self._mark(home)
        self._arrived(kind, uid, None)

    def namespace(self, name: str) -> Namespace:
        """The objects of a namespace."""
        return self._namespaces.get(name) or Namespace()

    def pods(self) -> Iterator[Pod]:
        """All pods; to be gone through at once."""
        for namespace in self._namespaces.values():
            yield from namespace.pods.values()

    def version(self, kind: Kind, uid: str) -> int:
        """The version in which an object is known, 0 if it is not."""
        return self._versions[kind].get(uid, 0)

    def mark_all(self) -> None:
        """Make every namespace dirty."""
        for name in self._namespaces:
            self._mark(name)

    def take_dirty(self) -> set[str]:
        """The namespaces that have changed since the last call."""
        taken, self._dirty = self._dirty, set()
        self.changed.clear()
        for name in taken:
            if name in self._namespaces and self._namespaces[name] == Namespace():
                del self._namespaces[name]
        return taken

    def count(self, kind: Kind) -> int:
        """How many objects of a kind there are."""
        return len(self._versions[kind])

    def known(self, kind: Kind) -> frozenset[str]:
        """UIDs of a kind; what `reconcile` wants from before the list was made."""
        return frozenset(self._versions[kind])

    def reconcile(self, kind: Kind, before: Collection[str], listed: Mapping[str, int]) -> int:
        """Compare with a complete list of a kind: version by UID; returns how many were gone."""
        gone = [uid for uid in before if uid not in listed and uid in self._versions[kind]]
        for uid in gone:
            self.drop(kind, uid)
        self._awaited[kind] = {
            uid: version
            for uid, version in self.behind(kind, listed).items()
            if uid in self._versions[kind] or uid not in before  # else it went since the list
        }
        self._look_whether_current()
        return len(gone)

    def behind(self, kind: Kind, listed: Mapping[str, int]) -> dict[str, int]:
        """Which of the `listed` are unknown, or known only in an older version."""
        versions = self._versions[kind]
        return {uid: version for uid, version in listed.items() if versions.get(uid, -1) < version}

    def _mark(self, namespace: str) -> None:
        self._dirty.add(namespace)
        self.changed.set()

    def _arrived(self, kind: Kind, uid: str, version: int | None) -> None:
        awaited = self._awaited[kind]
        if awaited and uid in awaited and (version is None or version >= awaited[uid]):
            del awaited[uid]
            self._look_whether_current()

    def _look_whether_current(self) -> None:
        if all(awaited == {} for awaited in self._awaited.values()):
            self.complete.set()
            self.current.set()
        else:
            self.current.clear()
