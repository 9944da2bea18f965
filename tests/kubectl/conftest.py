from __future__ import annotations

from pathlib import Path

import pytest

from tests.kubectl.standin import StandIn


@pytest.fixture
def cluster(tmp_path: Path) -> StandIn:
    return StandIn(tmp_path)
