"""What all fuzz targets share: changing bytes at random, for a while, and telling what fails.

A stream with an outcome that was not there before is kept to be changed further. Without
instrumentation, because the parsers below are compiled: what a target tells of its outcome is the
guide.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple


class Target(NamedTuple):
    """What is fuzzed.

    Attributes:
        check: Raises for what is mishandled; what it returns is the outcome.
        seeds: Streams to begin with; each is checked unchanged, too.
        tokens: Bytes that mean something.
        most: Bytes of a stream at most.
    """

    about: str
    check: Callable[[bytes], Hashable]
    seeds: Sequence[bytes]
    tokens: Sequence[bytes]
    most: int


def fuzz(target: Target, arguments: Sequence[str] | None = None) -> None:
    """Check the seeds, and then changed ones for a while."""
    parser = argparse.ArgumentParser(description=target.about)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=time.time_ns())
    options = parser.parse_args(arguments)
    print(f"seed {options.seed}", flush=True)
    deadline = time.monotonic() + options.seconds
    chance = random.Random(options.seed)  # noqa: S311 - to be repeated, not secret
    pool = list(target.seeds)
    outcomes = {_checked(target, data) for data in pool}
    count = len(pool)
    while time.monotonic() < deadline:
        data = _another(target, pool, chance)
        outcome = _checked(target, data)
        count += 1
        if outcome not in outcomes:
            outcomes.add(outcome)
            pool.append(data)
    print(f"{count} streams, {len(outcomes)} outcomes, nothing found")


def _checked(target: Target, data: bytes) -> Hashable:
    try:
        return target.check(data)
    except BaseException:
        print(f"fails: {data!r}", flush=True)
        raise


def _another(target: Target, pool: Sequence[bytes], chance: random.Random) -> bytes:
    data = chance.choice(pool)
    for _ in range(chance.randrange(1, 6)):
        data = _changed(data, chance.choice(pool), chance.choice(target.tokens), chance)
    return data[: target.most]


def _changed(data: bytes, other: bytes, token: bytes, chance: random.Random) -> bytes:
    at, end = sorted(chance.choices(range(len(data) + 1), k=2))
    match chance.randrange(6):
        case 0:
            return data[:at] + data[end:]
        case 1:
            return data[:at] + other + data[at:]
        case 2:
            return data[:end] + data[at:]
        case 3:
            return data[:at] + bytes([chance.randrange(256)]) + data[at + 1 :]
        case 4:
            return data[:at] + token + data[at:]
        case _:
            return data[:at] + token + data[at + len(token) :]
