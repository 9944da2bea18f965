"""Fuzzes the frame tracker: `python -m tests.fuzz.tracker --seconds 60`.

The corpus is the table of cases: its streams are changed at random, joined, and cut anywhere. What
fails is printed, and belongs into the table.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Iterator, Sequence
from typing import Final

from tests.sidecar.frame_cases import CASES, feed, state
from wsroute_sidecar.frames import Tracker

_OWN_PING: Final = bytes.fromhex("8902 6869")
_OWN_CLOSE: Final = bytes.fromhex("8802 03e9")
_PONG: Final = b"x"
_TELLING: Final = bytes.fromhex("00 01 41 7d 7e 7f 80 81 82 88 89 8a c1 fd fe ff")
"""First and second bytes of heads."""


def check(data: bytes) -> None:
    """AssertionError when a tracker mishandles the stream `data`, in any setting or cut."""
    for masked in (False, True):
        for limit in (None, 3, 130):
            _check_cuts(data, masked, limit)
        _check_passes(data, masked)


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


def _changed(data: bytes, other: bytes, chance: random.Random) -> bytes:
    at, end = sorted(chance.choices(range(len(data) + 1), k=2))
    match chance.randrange(5):
        case 0:
            return data[:at] + data[end:]
        case 1:
            return data[:at] + other + data[at:]
        case 2:
            return data[:end] + data[at:]
        case 3:
            return data[:at] + bytes([chance.randrange(256)]) + data[at + 1 :]
        case _:
            return data[:at] + bytes([chance.choice(_TELLING)]) + data[at + 1 :]


def _streams(chance: random.Random) -> Iterator[bytes]:
    seeds = [case.data for case in CASES if len(case.data) < 1024]
    while True:
        data = chance.choice(seeds)
        for _ in range(chance.randrange(1, 6)):
            data = _changed(data, chance.choice(seeds), chance)
        yield data[:1024]


def main(arguments: Sequence[str] | None = None) -> None:
    """Fuzz for a while."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=time.time_ns())
    options = parser.parse_args(arguments)
    print(f"seed {options.seed}", flush=True)
    deadline = time.monotonic() + options.seconds
    chance = random.Random(options.seed)  # noqa: S311 - to be repeated, not secret
    for count, data in enumerate(_streams(chance), 1):
        try:
            check(data)
        except Exception:
            print(f"fails: {data.hex(' ')}", flush=True)
            raise
        if time.monotonic() > deadline:
            print(f"{count} streams, nothing found")
            break


if __name__ == "__main__":
    main()
