from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsroute_sidecar.pacing import spread


@pytest.mark.parametrize(
    ("items", "paced"),
    [
        pytest.param([], [], id="nothing"),
        pytest.param([("a", 30.0)], [(0.0, "a")], id="one ends at once"),
        pytest.param(
            [("a", 30.0), ("b", 30.0), ("c", 30.0)],
            [(0.0, "a"), (10.0, "b"), (20.0, "c")],
            id="three share a window evenly",
        ),
        pytest.param(
            [("a", 30.0), ("b", 10.0), ("c", 30.0), ("d", 10.0)],
            [(0.0, "a"), (0.0, "b"), (5.0, "d"), (15.0, "c")],
            id="two windows side by side",
        ),
        pytest.param([("a", 0.0), ("b", 0.0)], [(0.0, "a"), (0.0, "b")], id="no window: at once"),
    ],
)
def test_items_are_spread_over_their_window(
    items: list[tuple[str, float]], paced: list[tuple[float, str]]
) -> None:
    assert spread(items) == paced


@given(st.integers(1, 300), st.floats(0.1, 600))
def test_no_second_of_a_window_has_more_than_its_share(count: int, window: float) -> None:
    paced = spread([(number, window) for number in range(count)])
    offsets = [offset for offset, _ in paced]
    assert sorted(item for _, item in paced) == list(range(count))
    assert offsets[0] == 0
    assert offsets[-1] < window
    assert all(b - a == pytest.approx(window / count) for a, b in pairwise(offsets))
