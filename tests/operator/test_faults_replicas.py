"""Replicas of the operator end, sleep, or hear nothing, and what they serve does not suffer."""

from __future__ import annotations

import time

import pytest

from tests.operator.cluster import Cluster
from tests.operator.scene import ROUTE, Scene
from tests.support.convergence import converges
from tests.support.waiting import until
from wsroute_api import contract

pytestmark = pytest.mark.cluster


def test_a_restart_touches_neither_sidecars_nor_statuses(cluster: Cluster) -> None:
    with Scene(cluster) as scene:
        operator = scene.lead("before")
        scene.open()
        api, sidecar = scene.cluster.api, scene.pod.sidecar
        path = f"/apis/{contract.API_VERSION}/namespaces/{scene.shop}/{contract.PLURAL}/{ROUTE}"
        version = api.get(path)["metadata"]["resourceVersion"]
        applied, epoch = sidecar.applied, sidecar.version[0]
        assert operator.stop() < 5.0
        assert not scene.leader(), "released"
        with converges("the operator was restarted", within=10):
            scene.start("after")
            until(lambda: sidecar.version[0] > epoch, "the new leader's first push")
        time.sleep(1.5)
        assert sidecar.applied == applied
        assert api.get(path)["metadata"]["resourceVersion"] == version


def test_what_changes_while_no_operator_runs_is_made_up_for(cluster: Cluster) -> None:
    with Scene(cluster) as scene:
        operator = scene.lead("before")
        scene.open()
        gone = scene.cluster.pod(scene.shop, "gone")
        until(lambda: gone.sidecar.routes, "the third pod")
        operator.kill()
        gone.delete()
        scene.edit()
        with converges("a pod was deleted while no operator ran", within=20):
            scene.start("after")
            assert scene.ready().startswith("2 of 2 pods")


def test_a_second_replica_goes_on_when_the_leader_is_killed(cluster: Cluster) -> None:
    with Scene(cluster) as scene:
        leader = scene.lead("leader")
        scene.open()
        scene.start("standby")
        leader.kill()
        with converges("the leader was killed", within=15):
            scene.change()


def test_a_leader_that_was_asleep_overwrites_nothing(cluster: Cluster) -> None:
    with Scene(cluster) as scene:
        leader = scene.lead("sleeper")
        scene.open()
        scene.start("standby")
        leader.sleep()
        scene.change()
        version = scene.pod.sidecar.version
        leader.wake()
        leader.logged("leadership_lost")
        assert scene.pod.sidecar.version == version
        with converges("a leader that was asleep woke up", within=5):
            scene.change()
