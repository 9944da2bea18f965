"""The soak of `make soak`, for as long as a test may take."""

from __future__ import annotations

from tests.bench import soak


async def test_everything_at_once_leaves_nothing_behind() -> None:
    done = await soak.run(seconds=10, period=1)
    assert done.seen["echoes"] > 1000
    for what in ("ended with 4000", "pushes", "stalled", "broken off", "rubbish", "crashes"):
        assert done.seen[what] > 0, (what, done.seen)
