"""The API server, or what it holds, changes under the operator.

These take their time, so they run side by side, each on an API server of its own.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Final

import pytest

from tests.operator.apiserver import ApiServer
from tests.operator.cluster import SYSTEM, Cluster, Operator
from tests.operator.proxy import Proxy
from tests.operator.scene import FULL, Scene
from tests.operator.standin import Fleet
from tests.operator.waiting import until
from tests.support.convergence import converges
from wsroute_operator.keys import fresh

pytestmark = pytest.mark.cluster

Fault = Callable[[Scene], None]

AWAY: Final = 60 if FULL else 12
"""Seconds."""
REPLICAS: Final = 13 if FULL else 2
WATCHES: Final = 4
"""Of each replica: routes, pods, Services and the definitions of resources."""
KEYS: Final = f"/api/v1/namespaces/{SYSTEM}/secrets/wsroute-signing-keys"


def an_api_server_that_stops(scene: Scene) -> None:
    operator = scene.lead("patient")
    scene.open()
    scene.cluster.api.stop()
    time.sleep(AWAY)
    scene.tunnel.more()
    scene.cluster.api.start()
    with converges(f"the API server was stopped for {AWAY} s", within=30):
        scene.change()
    assert operator.process.poll() is None, "without a restart"


def a_deletion_that_no_watch_ever_shows(scene: Scene) -> None:
    operator = scene.lead("sleeper")
    scene.open()
    gone = scene.cluster.pod(scene.shop, "gone")
    until(lambda: gone.sidecar.routes, "the third pod")
    operator.process.send_signal(signal.SIGSTOP)
    scene.cluster.api.stop()
    scene.cluster.api.start()  # without a memory of what it had sent
    gone.delete()
    operator.process.send_signal(signal.SIGCONT)
    with converges("a pod was deleted unseen", within=20):
        until(lambda: scene.ready().startswith("2 of 2 pods"), "the pod forgotten")


def an_api_server_that_answers_no_more(scene: Scene) -> None:
    operator = scene.lead("patient")
    scene.open()
    scene.cluster.api.suspend()
    time.sleep(AWAY)
    scene.tunnel.more()
    scene.cluster.api.resume()
    with converges(f"the API server answered nothing for {AWAY} s", within=30):
        scene.change()
    assert operator.process.poll() is None, "without a restart"


def watches_that_fall_silent(scene: Scene) -> None:
    with Proxy(scene.cluster.api.port) as proxy:
        leader = scene.lead("replica-0", through=proxy.port)
        names = [f"replica-{number}" for number in range(1, REPLICAS)]
        replicas = [leader, *(scene.start(name, through=proxy.port) for name in names)]
        scene.open()
        heard = [_events(replica) for replica in replicas]
        muted = proxy.mute()
        assert muted >= WATCHES * REPLICAS
        with converges(f"{WATCHES * REPLICAS} watches fell silent", within=120):
            scene.change()
            for replica, before in zip(replicas, heard, strict=True):
                until(partial(_heard_more, replica, before), f"the watch of {replica}", 120)
        assert all(replica.process.poll() is None for replica in replicas), "without a restart"


def _heard_more(replica: Operator, before: float) -> bool:
    return _events(replica) > before


def _events(replica: Operator) -> float:
    """How many events of routes a replica has seen."""
    _, text = replica.http("/metrics")
    sample = 'wsroute_operator_watch_events_total{kind="routes"} '
    return next(float(line[len(sample) :]) for line in text.splitlines() if line.startswith(sample))


def a_signing_key_that_is_added_by_hand(scene: Scene) -> None:
    leader = scene.lead("leader")
    scene.open()
    (key,) = fresh(0).values()
    with converges("a signing key was added by hand", within=90):
        scene.cluster.api.patch(KEYS, {"data": {"made-by-hand": key}})
        until(lambda: any(line.get("keys") == 2 for line in leader.lines()), "both keys", 90)
        young = scene.cluster.pending(scene.shop, "young", key=scene.cluster.keys()[-1])
        young.run()
        scene.change()
        assert scene.ready().startswith("3 of 3 pods")


FAULTS: Final[tuple[Fault, ...]] = (
    an_api_server_that_stops,
    an_api_server_that_answers_no_more,
    a_deletion_that_no_watch_ever_shows,
    watches_that_fall_silent,
    a_signing_key_that_is_added_by_hand,
)


def _happens(fault: Fault) -> None:
    with ApiServer() as api, Fleet() as fleet, Scene(Cluster(api, fleet)) as scene:
        fault(scene)


@pytest.fixture(scope="module")
def faults() -> Iterator[dict[Fault, Future[None]]]:
    with ThreadPoolExecutor() as pool:
        yield {fault: pool.submit(_happens, fault) for fault in FAULTS}


@pytest.mark.parametrize("fault", FAULTS, ids=[fault.__name__ for fault in FAULTS])
def test_a_fault_needs_no_human(fault: Fault, faults: dict[Fault, Future[None]]) -> None:
    faults[fault].result()
