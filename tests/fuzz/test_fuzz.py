from __future__ import annotations

from tests.fuzz import answer, handshake, request, tracker

SHORT = ["--seconds", "2", "--seed", "1"]


def test_the_tracker_stands_two_seconds_of_fuzzing() -> None:
    tracker.main(SHORT)


def test_the_handshake_stands_two_seconds_of_fuzzing() -> None:
    handshake.main(SHORT)


def test_the_native_verdict_stands_two_seconds_of_fuzzing() -> None:
    answer.main(SHORT)


def test_the_native_view_of_a_request_stands_two_seconds_of_fuzzing() -> None:
    request.main(SHORT)
