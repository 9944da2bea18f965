from __future__ import annotations

from types import SimpleNamespace

import pytest

from wsroute_sidecar import turns


class Clock:
    """A clock that only goes on by work and sleep; on a real one, a busy machine adds turns."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept_after: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept_after.append(round(self.now - 100.0, 4))
        self.now += seconds


@pytest.mark.parametrize(
    ("work", "slept_after"),
    [
        pytest.param([0.0001] * 4, [], id="little work is done in one go"),
        pytest.param([0.0002] * 7, [0.0006, 0.0012], id="a pause after each turn"),
        pytest.param([0.004, 0.0001], [0.004], id="an item is not divided"),
    ],
)
def test_who_works_beside_the_tunnels_sleeps_after_each_turn(
    work: list[float], slept_after: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(
        turns, "time", SimpleNamespace(monotonic=clock.monotonic, sleep=clock.sleep)
    )
    done = []
    for seconds in turns.with_pauses(work):
        clock.now += seconds
        done.append(seconds)
    assert done == work
    assert clock.slept_after == pytest.approx(slept_after, abs=0.0001)
