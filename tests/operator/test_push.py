from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator

import msgspec
import pytest
from nacl.signing import SigningKey

from tests.operator.build import RUNNING, changed, pod, route
from tests.operator.standin import Fleet, StandIn
from tests.support.waiting import eventually
from wsroute_api.snapshot import key_text
from wsroute_operator.keys import Keyring
from wsroute_operator.objects import Pod, RouteObject
from wsroute_operator.plan import plan
from wsroute_operator.push import Pusher

OLD, KEY = SigningKey.generate(), SigningKey.generate()
PUBLIC = key_text(KEY.verify_key)
EPOCH = 5

_addresses = (f"127.78.{n // 250}.{n % 250 + 1}" for n in itertools.count())


class Push:
    """A pusher with what it was told, and its pods."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.outcomes: list[str] = []
        self.leads = True
        self.pusher = self.another(EPOCH)

    def another(self, epoch: int) -> Pusher:
        async def still_leading() -> bool:
            return self.leads

        return Pusher(
            epoch=epoch,
            keyring=Keyring([OLD, KEY]),
            changed=lambda pod: self.outcomes.append(pod.name),
            still_leading=still_leading,
        )

    def pod(self, name: str, *, keys: tuple[str, ...] = (PUBLIC,)) -> tuple[Pod, StandIn]:
        address = next(_addresses)
        sidecar = msgspec.structs.replace(RUNNING, keys=keys)
        made = pod(name, address=address, sidecar=sidecar)
        return made, self.fleet.add(address, StandIn(made.uid, "shop", [PUBLIC]))

    def want(self, routes: list[RouteObject], *pods: Pod, by: Pusher | None = None) -> None:
        tables = plan("shop", routes, pods).tables
        (by or self.pusher).want("shop", {p.uid: (p, tables[p.uid]) for p in pods})

    def failure(self, subject: Pod) -> str:
        delivery = self.pusher.delivery(subject)
        return delivery.failure.reason if delivery and delivery.failure else ""


@pytest.fixture
async def push(fleet: Fleet) -> AsyncIterator[Push]:
    it = Push(fleet)
    yield it
    await it.pusher.close()


async def test_a_pod_gets_its_table_signed_with_a_key_that_it_trusts(push: Push) -> None:
    subject, sidecar = push.pod("p")
    push.want([route("r", generation=4)], subject)
    await eventually(lambda: push.outcomes == ["p"], "outcome")
    assert sidecar.routes == {"shop/r": 4}
    assert sidecar.version == (EPOCH, 1)
    delivery = push.pusher.delivery(subject)
    assert delivery is not None
    assert not delivery.due


async def test_equal_configuration_is_not_pushed_again(push: Push) -> None:
    subject, sidecar = push.pod("p")
    for _ in range(3):
        push.want([route("r")], subject)
        await eventually(lambda: sidecar.pushes == 1, "push")
    await asyncio.sleep(0)
    assert sidecar.pushes == 1


async def test_a_change_is_pushed_in_a_higher_version(push: Push) -> None:
    subject, sidecar = push.pod("p")
    push.want([route("r")], subject)
    await eventually(lambda: sidecar.applied == 1, "first")
    push.want([route("r", generation=2, path="/b")], subject)
    await eventually(lambda: sidecar.routes == {"shop/r": 2}, "second")
    assert sidecar.version == (EPOCH, 2)


async def test_the_newest_table_wins_over_one_that_waits_for_a_retry(push: Push) -> None:
    subject, sidecar = push.pod("p")
    sidecar.answer = (422, {"error": "no"})
    push.want([route("r")], subject)
    await eventually(lambda: "no" in push.failure(subject), "refusal")
    sidecar.answer = None
    push.want([route("r", generation=2, path="/b")], subject)
    await eventually(lambda: sidecar.routes == {"shop/r": 2}, "the newest, at once")


async def test_a_sidecar_that_cannot_be_reached_is_tried_until_it_can(push: Push) -> None:
    subject, sidecar = push.pod("p")
    push.fleet.remove(subject.address)
    push.want([route("r")], subject)
    await eventually(lambda: "cannot be reached" in push.failure(subject), "failure")
    push.fleet.add(subject.address, sidecar)
    await eventually(lambda: sidecar.routes, "retry")
    assert push.failure(subject) == ""


async def test_a_sidecar_that_hangs_delays_no_other_pod(push: Push) -> None:
    hanging = [push.pod(f"h{n}") for n in range(40)]
    for _, sidecar in hanging:
        sidecar.hangs = True
    good, sidecar = push.pod("good")
    push.want([route("r")], *(p for p, _ in hanging), good)
    await eventually(lambda: sidecar.routes, "the good one", seconds=3)
    await eventually(lambda: "in time" in push.failure(hanging[0][0]), "time-out")


async def test_a_restarted_container_gets_its_table_at_once(push: Push) -> None:
    subject, _ = push.pod("p")
    push.want([route("r")], subject)
    await eventually(lambda: push.outcomes, "first")
    fresh = push.fleet.add(subject.address, StandIn(subject.uid, "shop", [PUBLIC]))
    restarted = msgspec.structs.replace(RUNNING, keys=(PUBLIC,), container_id="c2")
    push.want([route("r")], changed(subject, sidecar=restarted))
    await eventually(lambda: fresh.routes, "the new container")


async def test_an_address_that_is_another_pods_now_serves_nothing_of_the_old(push: Push) -> None:
    subject, _ = push.pod("p")
    other = push.fleet.add(subject.address, StandIn("another uid", "shop", [PUBLIC]))
    push.want([route("r")], subject)
    await eventually(lambda: "another pod answers" in push.failure(subject), "421")
    assert other.table is None


async def test_a_new_leader_goes_on_above_the_earlier_ones_versions(push: Push) -> None:
    subject, sidecar = push.pod("p")
    sidecar.version = (EPOCH, 70)
    push.want([route("r")], subject)
    await eventually(lambda: sidecar.routes, "adopted")
    assert sidecar.version == (EPOCH, 71)


async def test_a_leader_with_a_younger_lease_is_believed_when_the_api_server_confirms_it(
    push: Push,
) -> None:
    subject, sidecar = push.pod("p")
    sidecar.version = (EPOCH + 3, 2)
    push.want([route("r")], subject)
    await eventually(lambda: sidecar.routes, "adopted")
    assert sidecar.version == (EPOCH + 3, 3)


async def test_a_leader_that_was_succeeded_overwrites_nothing(push: Push) -> None:
    subject, sidecar = push.pod("p")
    sidecar.version = (EPOCH + 1, 1)
    push.leads = False
    push.want([route("r")], subject)
    await eventually(lambda: "another replica" in push.failure(subject), "refused")
    assert sidecar.table is None


async def test_a_new_leader_raises_the_version_of_what_is_held_so_that_an_old_one_is_refused(
    push: Push,
) -> None:
    subject, sidecar = push.pod("p")
    push.want([route("r")], subject)
    await eventually(lambda: sidecar.applied == 1, "first")
    later = push.another(EPOCH + 1)
    push.want([route("r")], subject, by=later)
    await eventually(lambda: sidecar.version == (EPOCH + 1, 1), "raised")
    assert sidecar.applied == 1, "equal configuration touches nothing"
    await later.close()
    push.leads = False
    push.want([route("r", generation=2, path="/stale")], subject)
    await eventually(lambda: "another replica" in push.failure(subject), "refused")
    assert sidecar.routes == {"shop/r": 1}


async def test_a_pod_that_trusts_no_key_is_told_apart(push: Push) -> None:
    subject, sidecar = push.pod("p", keys=("somebody's",))
    push.want([route("r")], subject)
    await eventually(lambda: "trusts none" in push.failure(subject), "failure")
    assert sidecar.pushes == 0


async def test_redirects_are_not_followed(push: Push) -> None:
    subject, sidecar = push.pod("p")
    sidecar.answer = (307, {})
    push.want([route("r")], subject)
    await eventually(lambda: "307" in push.failure(subject), "failure")


async def test_a_pod_that_has_gone_is_pushed_to_no_more(push: Push) -> None:
    subject, sidecar = push.pod("p")
    sidecar.answer = (500, {})
    push.want([route("r")], subject)
    await eventually(lambda: sidecar.pushes, "a try")
    push.want([])
    await asyncio.sleep(0)
    seen = sidecar.pushes
    assert push.pusher.delivery(subject) is None
    with pytest.raises(TimeoutError):
        await eventually(lambda: sidecar.pushes > seen, "no further try", seconds=0.6)


async def test_a_pod_that_cannot_be_reached_yet_is_pushed_to_when_it_can(push: Push) -> None:
    subject, sidecar = push.pod("p")
    starting = msgspec.structs.replace(RUNNING, keys=(PUBLIC,), started=False)
    push.want([route("r")], changed(subject, sidecar=starting))
    assert push.outcomes == []
    push.want([route("r")], subject)
    await eventually(lambda: sidecar.routes, "pushed")


async def test_a_thousand_pods_get_their_tables(push: Push) -> None:
    pods = [push.pod(f"p{n}") for n in range(1000)]
    push.want([route("r")], *(p for p, _ in pods))
    await eventually(lambda: all(sidecar.routes for _, sidecar in pods), "all")
    assert {sidecar.pushes for _, sidecar in pods} == {1}
