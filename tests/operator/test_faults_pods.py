"""Pods that answer wrongly, late, or in another's place."""

from __future__ import annotations

import pytest

from tests.operator.cluster import Cluster, route
from tests.operator.scene import ROUTE, Scene
from tests.support.convergence import converges
from tests.support.waiting import until

pytestmark = pytest.mark.cluster


def programmed(scene: Scene, message: str) -> str:
    """Wait until the route's condition says `message`, and return all that it says."""

    def said() -> str | None:
        text: str = scene.cluster.condition(scene.shop, ROUTE, "Programmed").get("message", "")
        return text if message in text else None

    text: str = until(said, message)
    return text


def test_a_push_that_hangs_holds_up_no_other_pod(cluster: Cluster) -> None:
    with Scene(cluster) as scene:
        scene.lead("leader")
        scene.open()
        stuck = cluster.pod(scene.shop, "stuck")
        until(lambda: stuck.sidecar.routes, "the third pod")
        stuck.sidecar.hangs = True
        with converges("a push hung, and the other pods", within=5):
            scene.edit()
            until(scene.served, "the change in the others")
        programmed(scene, "stuck: the sidecar did not answer in time")
        stuck.sidecar.hangs = False
        with converges("a push had hung", within=15):
            scene.ready()


def test_a_sidecar_that_refuses_is_named_with_its_words_until_there_is_a_better_one(
    cluster: Cluster,
) -> None:
    with Scene(cluster) as scene:
        scene.lead("leader")
        scene.open()
        pod = cluster.pod(scene.shop, "old")
        until(lambda: pod.sidecar.routes, "the third pod")
        pod.sidecar.answer = (422, {"error": "field keepalive is unknown"})
        scene.edit()
        text = programmed(scene, "old: the sidecar refused its routes: field keepalive is unknown")
        assert "2 of 3 pods" in text
        assert scene.served(), "the others have it"
        with converges("a sidecar that refused was replaced", within=5):
            pod.restart_sidecar()
            scene.ready()


def test_an_address_that_another_pod_has_now_is_pushed_nothing_of_the_earlier_ones(
    cluster: Cluster,
) -> None:
    with Scene(cluster) as scene:
        scene.lead("leader")
        scene.open()
        earlier = cluster.pod(scene.shop, "earlier")
        until(lambda: earlier.sidecar.routes, "the third pod")
        theirs = cluster.namespace()
        cluster.apply(theirs, route("theirs"))
        heir = cluster.pending(theirs, "heir", address=earlier.address)
        cluster.fleet.add(heir.address, heir.sidecar)
        scene.edit()
        programmed(scene, "earlier: another pod answers at its address")
        with converges("a pod's address became another's", within=10):
            heir.run()
            earlier.delete()
            assert scene.ready().startswith("2 of 2 pods")
            cluster.ready(theirs, "theirs")
        assert heir.sidecar.history == [{f"{theirs}/theirs": 1}]
