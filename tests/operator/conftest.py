"""One bare API server with stand-in sidecars for all tests that need a real one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.operator.apiserver import ApiServer
from tests.operator.cluster import Cluster
from tests.operator.standin import Fleet


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    with ApiServer() as api, Fleet() as fleet:
        yield Cluster(api, fleet)


@pytest.fixture
def shop(cluster: Cluster) -> str:
    """The name of a namespace of the test's own."""
    return cluster.namespace()
