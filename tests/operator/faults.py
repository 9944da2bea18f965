"""Faults that take their time: each is a scene of its own, from the first replica to the end."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from functools import partial
from typing import Final

from tests.operator.cluster import SYSTEM, Operator
from tests.operator.proxy import Proxy
from tests.operator.scene import FULL, LEASE, Scene
from tests.support.convergence import converges
from tests.support.waiting import until
from wsroute_operator.keys import fresh

AWAY: Final = 60 if FULL else 12
"""Seconds."""
REPLICAS: Final = 13 if FULL else 2
WATCHES: Final = 4
"""Of each replica: routes, pods, Services and the definitions of resources."""
RESTARTS: Final = 100 if FULL else 20
LONGEST_LIFE: Final = 1.5
"""Seconds, of a replica that is ended wherever it is, and of one that leads."""
KEYS: Final = f"/api/v1/namespaces/{SYSTEM}/secrets/wsroute-signing-keys"


def an_api_server_that_stops(scene: Scene) -> None:
    api = scene.cluster.api
    _outlive(scene, "was stopped", api.stop, api.start)


def a_deletion_that_no_watch_ever_shows(scene: Scene) -> None:
    operator = scene.lead("sleeper")
    scene.open()
    gone = scene.cluster.pod(scene.shop, "gone")
    until(lambda: gone.sidecar.routes, "the third pod")
    operator.sleep()
    scene.cluster.api.stop()
    scene.cluster.api.start()  # without a memory of what it had sent
    gone.delete()
    operator.wake()
    with converges("a pod was deleted unseen", within=20):
        until(lambda: scene.ready().startswith("2 of 2 pods"), "the pod forgotten")


def an_api_server_that_answers_no_more(scene: Scene) -> None:
    api = scene.cluster.api
    _outlive(scene, "answered nothing", api.suspend, api.resume)


def _outlive(
    scene: Scene, what: str, begin: Callable[[], object], finish: Callable[[], object]
) -> None:
    """One operator, without a restart, sees the API server go away and come back."""
    operator = scene.lead("patient")
    scene.open()
    begin()
    time.sleep(AWAY)
    scene.tunnel.more()
    finish()
    with converges(f"the API server {what} for {AWAY} s", within=30):
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
        assert "leadership_lost" not in {line["event"] for line in leader.lines()}


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


def a_new_leader_that_has_heard_nothing_for_a_while(scene: Scene) -> None:
    leader = scene.lead("leader")
    scene.open()
    with Proxy(scene.cluster.api.port) as proxy:
        deaf = scene.start("deaf", through=proxy.port)
        assert proxy.mute()
        scene.change()
        leader.kill()
        with converges("the leader was killed and the other one was deaf", within=90):
            assert deaf.process.wait(80) == 1, "for its container to be started again"
            deaf.start()
            scene.change()


def restarts_at_random_moments_while_routes_change(scene: Scene) -> None:
    chance = random.SystemRandom()
    operator = scene.lead("restarted")
    scene.open()
    with scene.changing():
        for number in range(RESTARTS):
            if number % 2:
                until(lambda: scene.leader() == "restarted", "its turn to lead")
            time.sleep(chance.uniform(0, LONGEST_LIFE))
            how = chance.choice((signal.SIGKILL, signal.SIGTERM))
            assert operator.end(how) in {0, -how}
            _expire(scene)
            operator.start()
    with converges(f"{RESTARTS} restarts, half of them of leaders", within=15):
        scene.ready()


def _expire(scene: Scene) -> None:
    """Do at once what comes about when a killed leader's Lease has expired."""
    scene.cluster.api.patch(LEASE, {"spec": {"holderIdentity": ""}})
