from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module", autouse=True)
def relay(request: pytest.FixtureRequest) -> Iterator[str]:
    """The engine of the sidecars that a test starts; `support.sidecar.both_engines` sets it."""
    name: str = getattr(request, "param", "auto")
    if name == "native" and not importlib.util.find_spec("wsroute_sidecar._relay"):
        if os.environ.get("CI"):
            pytest.fail("the native relay engine is not built")
        pytest.skip("the native relay engine is not built")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WSROUTE_RELAY", name)
        yield name
