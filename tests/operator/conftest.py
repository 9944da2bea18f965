"""What tests of the operator share: above all one bare API server with stand-in sidecars."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.operator.apiserver import ApiServer
from tests.operator.cluster import Cluster, Operator
from tests.operator.standin import Fleet


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    with ApiServer() as api, Fleet() as fleet:
        yield Cluster(api, fleet)


@pytest.fixture
def shop(cluster: Cluster) -> str:
    """The name of a namespace of the test's own."""
    return cluster.namespace()


@pytest.fixture(scope="module")
def operator(cluster: Cluster) -> Iterator[Operator]:
    """A replica that leads."""
    with Operator(cluster.api) as running:
        running.ready()
        running.logged("signing_keys_loaded")
        yield running


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    """Stand-ins of the module's own; it needs no API server."""
    with Fleet() as running:
        yield running
