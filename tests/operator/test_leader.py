from __future__ import annotations

import asyncio

import pytest

from tests.operator.fakes import FakeKube
from tests.support.waiting import eventually
from wsroute_operator import leader
from wsroute_operator.leader import Leadership


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds become tenths."""
    monkeypatch.setattr(leader, "RETRY", 0.05)
    monkeypatch.setattr(leader, "RENEW_DEADLINE", 0.3)
    monkeypatch.setattr(leader, "_CONFIRMED_SECONDS", 0.0)


class Replica:
    def __init__(self, kube: FakeKube, name: str) -> None:
        self.leadership = Leadership(kube, "lease", name)
        self.epochs: list[int] = []
        self.leads = False
        self.task = asyncio.create_task(self.leadership.elect(self.lead))

    async def lead(self, leadership: Leadership) -> None:
        self.epochs.append(leadership.epoch)
        self.leads = True
        try:
            await asyncio.Event().wait()
        finally:
            self.leads = False

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


def holder(kube: FakeKube) -> str:
    spec = kube.leases["lease"]["spec"]
    return str(spec["holderIdentity"]).partition("_")[0]


async def leads(replica: Replica) -> None:
    await eventually(lambda: replica.leads, "leads", seconds=5)


async def test_one_of_two_leads() -> None:
    kube = FakeKube()
    one, two = Replica(kube, "one"), Replica(kube, "two")
    await eventually(lambda: one.leads or two.leads, "a leader")
    await asyncio.sleep(0.3)
    assert one.leads != two.leads
    for replica in (one, two):
        await replica.stop()


async def test_a_lease_that_is_released_is_taken_at_once_in_the_next_epoch() -> None:
    kube = FakeKube()
    one = Replica(kube, "one")
    await leads(one)
    two = Replica(kube, "two")
    await one.stop()
    await leads(two)
    assert (one.epochs, two.epochs) == ([0], [1])
    assert holder(kube) == "two"
    await two.stop()
    assert holder(kube) == ""


async def test_a_leader_that_cannot_renew_stops_and_goes_on_when_it_can_again() -> None:
    kube = FakeKube()
    one = Replica(kube, "one")
    await leads(one)
    kube.away = True
    await eventually(lambda: not one.leads, "stops", seconds=2)
    kube.away = False
    await leads(one)
    await one.stop()


async def test_a_leader_whose_lease_is_anothers_stops_at_once() -> None:
    kube = FakeKube()
    one = Replica(kube, "one")
    await leads(one)
    assert await one.leadership.still_leading()
    take_over(kube)
    assert not await one.leadership.still_leading()
    await eventually(lambda: not one.leads, "stops", seconds=0.25)
    await one.stop()


def take_over(kube: FakeKube) -> None:
    lease = kube.leases["lease"]
    lease["spec"] |= {"holderIdentity": "another", "leaseTransitions": 9}
    lease["metadata"] = {"resourceVersion": "900"}


async def test_nothing_is_confirmed_while_the_api_server_is_away() -> None:
    kube = FakeKube()
    one = Replica(kube, "one")
    await leads(one)
    kube.away = True
    assert not await one.leadership.still_leading()
    await one.stop()


async def test_a_lease_that_is_deleted_does_not_end_the_leadership() -> None:
    kube = FakeKube()
    one = Replica(kube, "one")
    await leads(one)
    del kube.leases["lease"]
    await eventually(lambda: "lease" in kube.leases, "made anew", seconds=2)
    assert one.leads
    assert kube.leases["lease"]["spec"]["leaseTransitions"] == 1
    await one.stop()


@pytest.mark.parametrize("fails", [True, False], ids=["by an error", "by itself"])
async def test_work_that_ends_gives_the_lease_back(fails: bool) -> None:
    kube = FakeKube()

    async def lead(_: Leadership) -> None:
        if fails:
            raise RuntimeError("broken")
        await asyncio.sleep(0.01)

    task = asyncio.create_task(Leadership(kube, "lease", "one").elect(lead))
    await eventually(lambda: "lease" in kube.leases and holder(kube) == "", "released")
    task.cancel()
    outcome = (await asyncio.gather(task, return_exceptions=True))[0]
    assert isinstance(outcome, RuntimeError if fails else asyncio.CancelledError)
