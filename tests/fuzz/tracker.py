"""Fuzzes the frame tracker: `python -m tests.fuzz.tracker --seconds 60`.

The corpus is the table of cases: its streams are changed at random, joined, and cut anywhere. What
fails is printed, and belongs into the table.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Final

from tests.fuzz.fuzzing import Target, fuzz
from tests.sidecar.frame_cases import CASES, feed, state
from wsroute_sidecar.frames import Tracker

_OWN_PING: Final = bytes.fromhex("8902 6869")
_OWN_CLOSE: Final = bytes.fromhex("8802 03e9")
_PONG: Final = b"x"
_TELLING: Final = bytes.fromhex("00 01 41 7d 7e 7f 80 81 82 88 89 8a c1 fd fe ff")
"""First and second bytes of heads."""


def check(data: bytes) -> Hashable:
    """AssertionError when a tracker mishandles the stream `data`, in any setting or cut."""
    for masked in (False, True):
        for limit in (None, 3, 130):
            _check_cuts(data, masked, limit)
        _check_passes(data, masked)
    return _outcome(data)


def _check_cuts(data: bytes, masked: bool, limit: int | None) -> None:
    inserts = [(len(data) // 3, _OWN_PING), (len(data) // 2, _OWN_CLOSE)]
    results = []
    for step in (len(data) + 1, 7, 1):
        tracker = Tracker(masked=masked, max_message=limit)
        tracker.own_ping = _PONG
        out = feed(tracker, data, range(0, len(data), step), inserts)
        results.append((out, list(state(tracker))))
    assert results[0] == results[1] == results[2]


def _check_passes(data: bytes, masked: bool) -> None:
    tracker = Tracker(masked=masked)
    out = feed(tracker, data, range(len(data)))
    assert out + tracker.flush() == data
    assert len(data) - len(out) <= 130


def _outcome(data: bytes) -> Hashable:
    tracker = Tracker(masked=False)
    tracker.feed(data)
    code = tracker.close and tracker.close.code
    return tracker.broken, tracker.at_boundary, code, min(tracker.messages, 3)


def main(arguments: Sequence[str] | None = None) -> None:
    """Fuzz for a while."""
    seeds = [case.data for case in CASES if len(case.data) < 1024]
    fuzz(Target(__doc__, check, seeds, [bytes([byte]) for byte in _TELLING], 1024), arguments)


if __name__ == "__main__":
    main()
