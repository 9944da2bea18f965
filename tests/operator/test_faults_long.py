"""Faults that take their time happen side by side, each on an API server of its own.

With their full numbers they happen one after the other, as they would delay each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

import pytest

from tests.operator import faults
from tests.operator.apiserver import ApiServer
from tests.operator.cluster import Cluster
from tests.operator.scene import FULL, Scene
from tests.operator.standin import Fleet

pytestmark = pytest.mark.cluster

Fault = Callable[[Scene], None]

FAULTS: Final[tuple[Fault, ...]] = (
    faults.an_api_server_that_stops,
    faults.an_api_server_that_answers_no_more,
    faults.a_deletion_that_no_watch_ever_shows,
    faults.a_new_leader_that_has_heard_nothing_for_a_while,
    faults.restarts_at_random_moments_while_routes_change,
    faults.a_signing_key_that_is_added_by_hand,
    faults.watches_that_fall_silent,
)


def happens(fault: Fault) -> None:
    """Have it happen; it raises what did not turn out well."""
    with ApiServer() as api, Fleet() as fleet, Scene(Cluster(api, fleet)) as scene:
        fault(scene)


@pytest.fixture(scope="module")
def under_way() -> Iterator[dict[Fault, Future[None]]]:
    with ThreadPoolExecutor(1 if FULL else len(FAULTS)) as pool:
        yield {fault: pool.submit(happens, fault) for fault in FAULTS}


@pytest.mark.parametrize("fault", FAULTS, ids=[fault.__name__ for fault in FAULTS])
def test_no_tunnel_is_lost_and_all_converges_without_a_human_after(
    fault: Fault, under_way: dict[Fault, Future[None]]
) -> None:
    under_way[fault].result()
