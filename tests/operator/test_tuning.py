from __future__ import annotations

import pytest

from wsroute_operator import tuning
from wsroute_operator.tuning import Tuning


@pytest.mark.parametrize(
    ("annotations", "expected"),
    [
        pytest.param({}, Tuning(), id="nothing"),
        pytest.param({"app.example.com/x": "y"}, Tuning(), id="annotations of others"),
        pytest.param({"wsroute.dev/injected": "0.1.0+0"}, Tuning(), id="the operator's own"),
        pytest.param(
            {"wsroute.dev/log-level": "warning"}, Tuning(log_level="warning"), id="log level"
        ),
        pytest.param(
            {"wsroute.dev/cpu-request": "250m", "wsroute.dev/cpu-limit": "0.5"},
            Tuning(requests={"cpu": "250m"}, limits={"cpu": "0.5"}),
            id="CPU",
        ),
        pytest.param(
            {"wsroute.dev/memory-request": "64Mi", "wsroute.dev/memory-limit": "1Gi"},
            Tuning(requests={"memory": "64Mi"}, limits={"memory": "1Gi"}),
            id="memory",
        ),
    ],
)
def test_annotations_are_read_as_typed_values(
    annotations: dict[str, str], expected: Tuning
) -> None:
    assert tuning.read(annotations) == expected


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("wsroute.dev/log-level", "loud", "make it debug, info, warning, error"),
        ("wsroute.dev/log-level", "", "make it debug, info, warning, error"),
        ("wsroute.dev/cpu-request", "a lot", "make it a quantity like 250m or 1.5"),
        ("wsroute.dev/cpu-limit", "-1", "make it a quantity like 250m or 1.5"),
        ("wsroute.dev/cpu-limit", "0m", "make it a quantity like 250m or 1.5"),
        ("wsroute.dev/cpu-limit", "1\n", "make it a quantity like 250m or 1.5"),
        ("wsroute.dev/memory-limit", "256MB", "make it a quantity like 64Mi"),
        ("wsroute.dev/memory-limit", "0", "make it a quantity like 64Mi"),
        ("wsroute.dev/memory-limit", "64Mi\n", "make it a quantity like 64Mi"),
        ("wsroute.dev/cpu", "1", "is unknown: there are wsroute.dev/log-level, "),
        ("wsroute.dev/image", "evil:1", "is unknown"),
        ("wsroute.dev/command", "sh", "is unknown"),
    ],
)
def test_a_mistake_is_told_with_what_would_be_right(name: str, value: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tuning.read({name: value})
