from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

import msgspec
import pytest
from nacl.signing import SigningKey

from tests.operator.build import RUNNING, pod, raw_route, route
from tests.operator.fakes import FakeKube
from tests.operator.standin import Fleet, StandIn
from tests.support.waiting import eventually
from wsroute_api.snapshot import key_text
from wsroute_operator import control as control_
from wsroute_operator.control import Control
from wsroute_operator.index import KINDS, Index
from wsroute_operator.keys import Keyring
from wsroute_operator.leader import Leadership
from wsroute_operator.objects import route_from_raw
from wsroute_operator.plan import Plan, plan

KEY = SigningKey.generate()
PUBLIC = key_text(KEY.verify_key)


class Stage:
    """A leader at work on an index."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.index = Index()
        self.kube = FakeKube()
        leadership = Leadership(self.kube, "lease", "one")
        control = Control(
            index=self.index, kube=self.kube, keyring=Keyring([KEY]), leadership=leadership
        )
        self.task = asyncio.create_task(control.run())

    def pod(self, name: str, address: str, namespace: str = "shop") -> StandIn:
        sidecar = msgspec.structs.replace(RUNNING, keys=(PUBLIC,))
        made = msgspec.structs.replace(
            pod(name, address=address, sidecar=sidecar), namespace=namespace
        )
        self.index.put(made, 1)
        return self.fleet.add(address, StandIn(made.uid, namespace, [PUBLIC]))

    def complete(self) -> None:
        for kind in KINDS:
            self.index.reconcile(kind, (), {})


@pytest.fixture
async def stage(fleet: Fleet) -> AsyncIterator[Stage]:
    it = Stage(fleet)
    yield it
    it.task.cancel()
    await asyncio.gather(it.task, return_exceptions=True)


async def test_nothing_is_pushed_before_all_routes_are_known(stage: Stage) -> None:
    sidecar = stage.pod("p", "127.79.0.1")
    await asyncio.sleep(0.2)
    assert sidecar.pushes == 0, "an empty table would take its routes away"
    stage.index.put(route("r"), 1)
    stage.complete()
    await eventually(lambda: sidecar.routes, "pushed")
    assert sidecar.pushes == 1


async def test_a_burst_of_events_is_planned_once(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds = []

    def counted(namespace: str, *objects: Iterable[Any]) -> Plan:
        rounds.append(namespace)
        return plan(namespace, *objects)

    monkeypatch.setattr(control_, "plan", counted)
    stage.complete()
    sidecar = stage.pod("p", "127.79.0.2")
    for number in range(50):
        stage.index.put(route(f"r{number}", path=f"/{number}"), 1)
    await eventually(lambda: len(sidecar.routes) == 50, "all routes")
    assert rounds == ["shop"]


async def test_a_namespace_that_cannot_be_planned_stops_no_other(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(namespace: str, *objects: Iterable[Any]) -> Plan:
        if namespace == "bad":
            raise RuntimeError("a defect")
        return plan(namespace, *objects)

    monkeypatch.setattr(control_, "plan", broken)
    stage.complete()
    stage.pod("b", "127.79.0.3", namespace="bad")
    sidecar = stage.pod("p", "127.79.0.4")
    stage.index.put(route("r"), 1)
    await eventually(lambda: sidecar.routes, "the good one")


async def test_routes_stay_in_their_namespace(stage: Stage) -> None:
    stage.complete()
    stage.index.put(route_from_raw(raw_route("r", namespace="other")), 1)
    sidecar = stage.pod("p", "127.79.0.5")
    await eventually(lambda: sidecar.table is not None, "a table")
    assert sidecar.routes == {}


async def test_one_status_tells_of_a_route_and_its_pods(stage: Stage) -> None:
    stage.complete()
    stage.pod("p", "127.79.0.6")
    stage.index.put(route("r"), 1)
    await eventually(lambda: stage.kube.statuses, "a status")
    await asyncio.sleep(0.1)
    assert [status["pods"]["summary"] for status in stage.kube.statuses] == ["1/1"]
