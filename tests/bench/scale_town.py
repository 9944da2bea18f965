"""A cluster of any size that runs nowhere: real API objects, and a stand-in for each pod's sidecar.

An app has pods and routes that select all of them; the apps are spread over the namespaces.
"""

from __future__ import annotations

import os
import re
import subprocess
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any, Final, NamedTuple, TypeVar

from tests.cluster.node import binaries
from tests.operator.apiserver import ADMIN, ROUTES, ApiServer
from tests.operator.cluster import Cluster, Pod, pod_manifest, route
from wsroute_api import contract

T = TypeVar("T")
R = TypeVar("R")
Json = dict[str, Any]

_AT_ONCE: Final = 8
_LINE: Final = (
    "{.metadata.namespace}/{.metadata.name} {.status.pods.summary} "
    '{.status.conditions[?(@.type=="Ready")].status} '
    '{.status.conditions[?(@.type=="Ready")].observedGeneration}{"\\n"}'
)
_WRITTEN: Final = re.compile(
    r'apiserver_request_total\{code="2.*resource="(websocketroutes",.*subresource="status|events)".*'
    r'verb="(?!GET|LIST|WATCH).*\} (\d+)'
)


@dataclass(frozen=True)
class Shape:
    """How large it is, and how much of it changes."""

    apps: int
    pods_of_app: int
    routes_of_app: int
    namespaces: int
    changes: int
    """How often one route is changed."""
    rolled: int
    """How many apps get new pods."""

    def __str__(self) -> str:
        pods, routes = self.apps * self.pods_of_app, self.apps * self.routes_of_app
        return f"{pods} pods, {routes} routes, {self.namespaces} namespaces"


class Said(NamedTuple):
    """What a route's status says."""

    pods: str
    ready: bool
    generation: int


class Statuses:
    """The status of all routes, as a watch shows it.

    Attributes:
        said: What each said last, by namespace/name.
        changes: How often each route has changed in any way.
        latest: When one last changed.
    """

    def __init__(self) -> None:
        self.said: dict[str, Said] = {}
        self.changes: Counter[str] = Counter()
        self.latest = 0.0

    def read(self, lines: Iterable[str]) -> None:
        """Follow `lines` of the watch to their end."""
        for line in lines:
            key, *rest = line.split()
            self.changes[key] += 1
            if len(rest) == 3:
                pods, ready, generation = rest
                self.said[key] = Said(pods, ready == "True", int(generation))
                self.latest = time.monotonic()


@contextmanager
def watched(api: ApiServer) -> Iterator[Statuses]:
    """The statuses while they are watched."""
    statuses = Statuses()
    kubectl = binaries.go_programs() / "kubectl"
    command = [f"--kubeconfig={api.kubeconfig(ADMIN)}", "get", contract.PLURAL]
    flags = ["--all-namespaces", "--watch", f"--output=jsonpath={_LINE}"]
    with subprocess.Popen(
        [str(kubectl), *command, *flags], stdout=subprocess.PIPE, text=True
    ) as watch:
        assert watch.stdout is not None
        reader = threading.Thread(target=statuses.read, args=(watch.stdout,))
        reader.start()
        try:
            yield statuses
        finally:
            watch.terminate()
            reader.join()


class App:
    """An app: its pods, and the generations of its routes."""

    def __init__(self, number: int, namespace: str) -> None:
        self.name = f"app-{number}"
        self.namespace = namespace
        self.owner = str(uuid.uuid4())
        """UID of what its pods belong to."""
        self.pods: list[Pod] = []
        self.generations: dict[str, int] = {}

    def programmed(self) -> bool:
        """Whether each of its pods serves its routes as they are."""
        return all(pod.sidecar.routes == self.generations for pod in self.pods)

    def ready(self, statuses: Statuses) -> bool:
        """Whether its routes say so."""
        every = f"{len(self.pods)}/{len(self.pods)}"
        return all(
            statuses.said.get(key) == Said(every, ready=True, generation=generation)
            for key, generation in self.generations.items()
        )


class Town:
    """All apps, and what is done to them."""

    def __init__(self, cluster: Cluster, shape: Shape) -> None:
        self.shape: Final = shape
        self._cluster = cluster
        self._numbers = count()
        self._keys = cluster.keys()
        names = [cluster.namespace() for _ in range(shape.namespaces)]
        self.apps: Final = [App(n, names[n % len(names)]) for n in range(shape.apps)]

    @property
    def pods(self) -> list[Pod]:
        """Of all apps."""
        return [pod for app in self.apps for pod in app.pods]

    @property
    def routes(self) -> list[str]:
        """Of all apps, as namespace/name."""
        return [key for app in self.apps for key in app.generations]

    def populate(self) -> None:
        """Make all pods and routes."""
        wanted = [app for app in self.apps for _ in range(self.shape.pods_of_app)]
        for app, pod in zip(wanted, at_once(self._pod, wanted), strict=True):
            app.pods.append(pod)
        for app in self.apps:
            self._cluster.apply(app.namespace, *self._routes(app))
            app.generations = {
                f"{app.namespace}/{made['metadata']['name']}": 1 for made in self._routes(app)
            }

    def _routes(self, app: App) -> list[Json]:
        names = [f"{app.name}-{n}" for n in range(self.shape.routes_of_app)]
        return [route(name, app=app.name, path=f"/{name}") for name in names]

    def _pod(self, app: App) -> Pod:
        number = next(self._numbers)
        # Not the addresses of tests, or of another run, that may go on beside this.
        address = f"127.{80 + os.getpid() % 160}.{number // 250}.{number % 250 + 1}"
        manifest = pod_manifest(app.namespace, f"{app.name}-{number}", app.name, self._keys)
        owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": app.name, "uid": app.owner}
        manifest["metadata"]["ownerReferences"] = [{**owner, "controller": True}]
        pod = Pod(self._cluster, manifest, address)
        pod.run()
        return pod

    def change(self, app: App) -> str:
        """Edit a route of `app`; which."""
        key = next(iter(app.generations))
        app.generations[key] += 1
        changed = {"backend": {"port": 8080}, "limits": {"maxConnections": app.generations[key]}}
        self._cluster.api.patch(_path(key), {"spec": {"rules": [changed]}})
        return key

    def roll(self, apps: Sequence[App]) -> None:
        """Give `apps` new pods in place of theirs, as Deployments do: first the new, then none."""
        pairs = [(app, old) for app in apps for old in app.pods]
        for app in apps:
            app.pods, app.owner = [], str(uuid.uuid4())
        at_once(self._replace, pairs)

    def _replace(self, pair: tuple[App, Pod]) -> None:
        app, old = pair
        app.pods.append(self._pod(app))
        old.delete()
        self._cluster.fleet.remove(old.address)

    def touch(self) -> None:
        """Annotate every route and every pod."""
        annotated = {"metadata": {"annotations": {"example.com/touched": "yes"}}}
        paths = [*map(_path, self.routes), *(pod.path for pod in self.pods)]
        at_once(lambda path: self._cluster.api.patch(path, annotated), paths)

    def pushes(self) -> int:
        """How many the stand-ins of all present pods have got."""
        return sum(pod.sidecar.pushes for pod in self.pods)

    def applied(self) -> int:
        """How many of them have changed what a pod serves."""
        return sum(pod.sidecar.applied for pod in self.pods)

    def written(self) -> Counter[str]:
        """How many statuses and Events the API server has taken in."""
        lines = self._cluster.api.kubectl("get", "--raw=/metrics").splitlines()
        found: Counter[str] = Counter()
        for line in lines:
            if match := _WRITTEN.match(line):
                found["Events" if match[1] == "events" else "statuses"] += int(match[2])
        return found


def at_once(work: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """The results of some at a time."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(work, items))


def _path(key: str) -> str:
    namespace, name = key.split("/")
    return f"{ROUTES}/namespaces/{namespace}/{contract.PLURAL}/{name}"
