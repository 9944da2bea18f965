"""What goes wrong around the operator, and how long it takes until all is well again."""

from __future__ import annotations

import signal
import time
import urllib.error
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress

import pytest

from tests.operator.cluster import SYSTEM, Cluster, Operator, Pod, route
from tests.operator.waiting import until
from wsroute_api import contract

pytestmark = pytest.mark.cluster

LEASE = f"/apis/coordination.k8s.io/v1/namespaces/{SYSTEM}/leases/wsroute-operator"

Start = Callable[[str], Operator]


@pytest.fixture
def start(cluster: Cluster) -> Iterator[Start]:
    """Starts replicas by name, which end with the test."""
    with ExitStack() as stack:

        def begin(name: str) -> Operator:
            operator = stack.enter_context(Operator(cluster.api, name))
            operator.ready()
            return operator

        yield begin


@pytest.fixture
def tell(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> Callable[..., None]:
    """Prints how long something took."""

    def say(what: str, seconds: float) -> None:
        with capsys.disabled():
            print(f"\n{what}: {seconds:.1f} s")

    return say


def holder(cluster: Cluster) -> str:
    identity: str = cluster.api.get(LEASE)["spec"]["holderIdentity"]
    return identity.partition("_")[0]


def settled(cluster: Cluster, shop: str, start: Start, name: str) -> tuple[Operator, Pod]:
    """A leader, and a pod that has its route."""
    with suppress(urllib.error.HTTPError):
        cluster.api.delete(LEASE)  # an operator that was killed in an earlier test holds it
    operator = start(name)
    until(lambda: holder(cluster) == name, f"{name} leads")
    until(cluster.has_keys, "signing keys")
    pod = cluster.pod(shop, "chat")
    cluster.apply(shop, route("chat"))
    cluster.ready(shop, "chat")
    return operator, pod


def change(cluster: Cluster, shop: str, pod: Pod, generation: int) -> float:
    """Change the route, and return the seconds until the pod has it."""
    begun = time.monotonic()
    cluster.apply(shop, route("chat", path=f"/{generation}"))
    until(lambda: pod.sidecar.routes == {f"{shop}/chat": generation}, "the change in the pod")
    return time.monotonic() - begun


def test_a_restart_touches_neither_sidecars_nor_statuses(
    cluster: Cluster, shop: str, start: Start
) -> None:
    operator, pod = settled(cluster, shop, start, "before")
    path = f"/apis/{contract.API_VERSION}/namespaces/{shop}/{contract.PLURAL}/chat"
    version = cluster.api.get(path)["metadata"]["resourceVersion"]
    applied = pod.sidecar.applied
    assert operator.stop() < 5.0
    assert holder(cluster) == "", "released"
    start("after")
    epoch = pod.sidecar.version[0]
    until(lambda: pod.sidecar.version[0] > epoch, "the new leader's first push")
    time.sleep(1.5)
    assert pod.sidecar.applied == applied
    assert cluster.api.get(path)["metadata"]["resourceVersion"] == version


def test_what_changes_while_no_operator_runs_is_made_up_for(
    cluster: Cluster, shop: str, start: Start, tell: Callable[..., None]
) -> None:
    operator, pod = settled(cluster, shop, start, "before")
    gone = cluster.pod(shop, "gone")
    until(lambda: gone.sidecar.routes, "the second pod")
    operator.kill()
    gone.delete()
    cluster.apply(shop, route("chat", path="/new"))
    begun = time.monotonic()
    start("after")
    condition = cluster.ready(shop, "chat", generation=2)
    tell("an operator was killed: converged after", time.monotonic() - begun)
    assert condition["message"].startswith("1 of 1 pod")
    assert pod.sidecar.routes == {f"{shop}/chat": 2}


def test_a_second_replica_goes_on_when_the_leader_is_killed(
    cluster: Cluster, shop: str, start: Start, tell: Callable[..., None]
) -> None:
    leader, pod = settled(cluster, shop, start, "leader")
    start("standby")
    leader.kill()
    seconds = change(cluster, shop, pod, 2)
    tell("the leader was killed: pushes went on after", seconds)
    assert seconds < 15


def test_a_leader_that_was_asleep_overwrites_nothing(
    cluster: Cluster, shop: str, start: Start
) -> None:
    leader, pod = settled(cluster, shop, start, "sleeper")
    start("standby")
    leader.process.send_signal(signal.SIGSTOP)
    change(cluster, shop, pod, 2)
    version = pod.sidecar.version
    leader.process.send_signal(signal.SIGCONT)
    leader.logged("leadership_lost")
    assert pod.sidecar.version == version
    assert change(cluster, shop, pod, 3) < 5


@pytest.mark.parametrize("how", ["killed", "silent"])
def test_an_api_server_that_is_away_is_waited_for(
    cluster: Cluster, shop: str, start: Start, how: str, tell: Callable[..., None]
) -> None:
    operator, pod = settled(cluster, shop, start, f"through-{how}")
    applied = pod.sidecar.applied
    if how == "killed":
        cluster.api.stop()
        time.sleep(8)
        cluster.api.start()
    else:
        cluster.api.suspend()
        time.sleep(8)
        cluster.api.resume()
    seconds = change(cluster, shop, pod, 2)
    tell(f"the API server was {how}: a change arrived after", seconds)
    assert operator.process.poll() is None, "without a restart"
    assert pod.sidecar.applied == applied + 1, "nothing was taken away meanwhile"
