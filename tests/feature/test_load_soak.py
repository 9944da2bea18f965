"""The soak of `make soak`, for as long as a test may take."""

from __future__ import annotations

from tests.bench import soak


async def test_everything_at_once_leaves_nothing_behind() -> None:
    done = await soak.run(seconds=10, period=1)
    for what in (
        "echoes",
        "pushes",
        "closed by hand",
        "broken off",
        "rubbish",
        "stalled",
        "crashes",
    ):
        assert done.seen[what] > 0, (what, done.seen)
