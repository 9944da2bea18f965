from __future__ import annotations

from tests.fuzz import tracker


def test_the_tracker_stands_a_second_of_fuzzing() -> None:
    tracker.main(["--seconds", "1"])
