"""A shop in which something goes wrong: what runs there, and what must hold whatever happens.

A stand-in and a real sidecar serve the shop's route, and a tunnel through the real one carries
traffic from `open` to the end. The scene ends well only if that tunnel lives and has lost nothing,
and if no pod got an older version of a route after a newer one.
"""

from __future__ import annotations

import json
import os
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import pairwise
from types import TracebackType
from typing import Final, Self

from tests.cluster.tunnels import Traffic
from tests.operator.cluster import SYSTEM, Cluster, Operator, Pod, route
from tests.support.echo import echoing
from tests.support.sidecar import Sidecar
from tests.support.waiting import until
from wsroute_api import contract

FULL: Final = os.environ.get("WSROUTE_FAULTS") == "full"
"""Whether the numbers are those that are promised, and not what a test has time for."""

LEASE: Final = f"/apis/coordination.k8s.io/v1/namespaces/{SYSTEM}/leases/wsroute-operator"
ROUTE: Final = "chat"


class Scene:
    """Everything in it ends with it, replicas of the operator too.

    Attributes:
        shop: Its namespace.
        generation: How often its route was made or edited.
        pod: The stand-in's.
        tunnel: The tunnel.
    """

    def __init__(self, cluster: Cluster) -> None:
        self.cluster: Final = cluster
        self.shop: Final = cluster.namespace()
        self.generation = 0
        self._held: Final = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is not None:
            self._held.__exit__(kind, error, traceback)
            return
        with self._held:
            self.tunnel.more()
            history = self.pod.sidecar.history
            assert all(_goes_on(one, next_) for one, next_ in pairwise(history)), history

    def start(self, name: str, *, through: int = 0) -> Operator:
        """Start a replica, and wait until it is ready."""
        operator = self._held.enter_context(Operator(self.cluster.api, name, through=through))
        operator.ready()
        return operator

    def lead(self, name: str, *, through: int = 0) -> Operator:
        """Start a replica that need not wait until the Lease of an earlier test's expires."""
        with suppress(urllib.error.HTTPError):
            self.cluster.api.delete(LEASE)
        operator = self.start(name, through=through)
        until(lambda: self.leader() == name, f"{name} leads")
        until(self.cluster.has_keys, "signing keys")
        return operator

    def leader(self) -> str:
        """The name of the replica that holds the Lease; empty when none does."""
        identity: str = self.cluster.api.get(LEASE)["spec"]["holderIdentity"]
        return identity.partition("_")[0]

    def open(self) -> None:
        """Make the pods and the route, and open the tunnel."""
        self._port = self._held.enter_context(echoing()).port
        self.pod = self.cluster.pod(self.shop, "stand-in")
        self._real, sidecar = self._real_pod()
        self.edit()
        self.ready()
        url = f"ws://127.0.0.1:{sidecar.port}/{self.generation}"
        self.tunnel = self._held.enter_context(Traffic(url))

    def _real_pod(self) -> tuple[Pod, Sidecar]:
        pod = self.cluster.pending(self.shop, "real")
        self._held.callback(pod.delete)
        identity = {
            contract.ENV_NAMESPACE: self.shop,
            contract.ENV_POD_UID: pod.sidecar.uid,
            contract.ENV_PUBLIC_KEYS: ",".join(self.cluster.keys()),
        }
        push = f"--push={pod.address}:{contract.PUSH_PORT}"
        sidecar = self._held.enter_context(Sidecar(None, push, env=identity))
        pod.report_running()
        return pod, sidecar

    def edit(self) -> None:
        """Make the route, or make it another one."""
        self.generation += 1
        path = f"/{self.generation}"
        self.cluster.apply(self.shop, route(ROUTE, port=self._port, path=path))

    def served(self) -> bool:
        """Whether all sidecars serve the route as it is now."""
        newest = {f"{self.shop}/{ROUTE}": self.generation}
        return self.pod.sidecar.routes == newest == _served(self._real)

    def ready(self) -> str:
        """Wait until all sidecars serve the route as it is now, and it says so; what it says."""
        until(self.served, "the newest route in all sidecars")
        message: str = self.cluster.ready(self.shop, ROUTE, self.generation)["message"]
        return message

    def change(self) -> None:
        """Edit the route, and wait until it is ready."""
        self.edit()
        self.ready()

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Meanwhile the route is edited all the time."""
        stop = threading.Event()

        def edit() -> None:
            while not stop.wait(0.1):
                self.edit()

        editing = threading.Thread(target=edit)
        editing.start()
        try:
            yield
        finally:
            stop.set()
            editing.join()


def _goes_on(one: dict[str, int], next_: dict[str, int]) -> bool:
    return all(next_.get(key, generation) >= generation for key, generation in one.items())


def _served(pod: Pod) -> dict[str, int]:
    """The routes of a real sidecar, by generation."""
    url = f"http://{pod.address}:{contract.PUSH_PORT}{contract.SNAPSHOT_PATH}"
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            routes: dict[str, int] = json.loads(answer.read())["routes"]
    except urllib.error.HTTPError:
        return {}
    return routes
