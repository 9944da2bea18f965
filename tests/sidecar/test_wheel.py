from __future__ import annotations

import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from wsroute_sidecar.wheel import TICK, Wheel

moments = st.floats(min_value=0, max_value=100)


def test_an_empty_wheel_has_nothing_due_ever() -> None:
    wheel: Wheel[str] = Wheel()
    assert wheel.next() is None
    assert wheel.due(1e9) == []


def test_an_item_is_due_once() -> None:
    wheel: Wheel[str] = Wheel()
    wheel.schedule("a", 1.0)
    assert wheel.due(0.9) == []
    assert wheel.due(1.0) == ["a"]
    assert wheel.due(2.0) == []
    assert wheel.next() is None


def test_a_later_word_replaces_an_earlier_one() -> None:
    wheel: Wheel[str] = Wheel()
    wheel.schedule("a", 1.0)
    wheel.schedule("a", 3.0)
    assert wheel.due(2.0) == []
    wheel.schedule("a", 2.5)
    assert wheel.due(2.5) == ["a"]
    assert wheel.due(3.0) == []


def test_a_forgotten_item_is_never_due_and_leaves_nothing() -> None:
    wheel: Wheel[str] = Wheel()
    wheel.schedule("a", 1.0)
    wheel.cancel("a")
    wheel.cancel("never there")
    assert wheel.next() is None
    assert wheel.due(2.0) == []


def test_items_that_came_and_went_leave_no_memory_behind() -> None:
    wheel: Wheel[int] = Wheel()
    tracemalloc.start()
    try:
        for item in range(20_000):
            wheel.schedule(item, 3600 + item)
            wheel.cancel(item)
        assert tracemalloc.get_traced_memory()[0] < 100_000
    finally:
        tracemalloc.stop()


def test_an_item_can_be_scheduled_again_after_it_was_due() -> None:
    wheel: Wheel[str] = Wheel()
    for when in (1.0, 1.0, 2.0):
        wheel.schedule("a", when)
        assert wheel.due(when) == ["a"]


@given(st.dictionaries(st.integers(0, 50), moments), moments)
def test_all_that_is_due_comes_out_never_early_and_late_by_less_than_a_tick(
    deadlines: dict[int, float], now: float
) -> None:
    wheel: Wheel[int] = Wheel()
    for item, when in deadlines.items():
        wheel.schedule(item, when)
    due = set(wheel.due(now))
    assert {item for item, when in deadlines.items() if when <= now - TICK} <= due
    assert due <= {item for item, when in deadlines.items() if when <= now + 1e-9}
    following = wheel.next()
    assert (following is None) == (due == deadlines.keys())
    assert following is None or following > now


@given(st.lists(st.tuples(st.integers(0, 5), st.none() | moments), max_size=30))
def test_after_any_words_the_last_one_of_each_item_counts(
    words: list[tuple[int, float | None]],
) -> None:
    wheel: Wheel[int] = Wheel()
    for item, when in words:
        if when is None:
            wheel.cancel(item)
        else:
            wheel.schedule(item, when)
    last = dict(words)
    assert sorted(wheel.due(200)) == sorted(item for item, when in last.items() if when is not None)
