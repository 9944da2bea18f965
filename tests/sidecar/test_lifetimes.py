from __future__ import annotations

import pytest

from wsroute_sidecar.lifetimes import CLOSES, Due, Moments, due, next_deadline
from wsroute_sidecar.relay_types import Limits

NOTHING = Moments(opened=100, active=100, pinged=None, awaiting=False)
AGE = Limits(max_age=60)
IDLE = Limits(idle=30)
PINGS = Limits(ping_interval=10, pong_timeout=3)
MEASURED = Limits(ping_interval=10, pong_timeout=None)
ALL = Limits(max_age=60, idle=30, ping_interval=10, pong_timeout=3)


@pytest.mark.parametrize(
    ("limits", "moments", "first", "what"),
    [
        pytest.param(Limits(), NOTHING, None, None, id="no limits: never"),
        pytest.param(AGE, NOTHING, 160, Due.AGE, id="age counts from the beginning"),
        pytest.param(
            AGE, NOTHING._replace(active=159), 160, Due.AGE, id="age ends an active tunnel, too"
        ),
        pytest.param(IDLE, NOTHING, 130, Due.IDLE, id="idleness counts from the beginning"),
        pytest.param(
            IDLE, NOTHING._replace(active=125), 155, Due.IDLE, id="and anew from each activity"
        ),
        pytest.param(PINGS, NOTHING, 110, Due.PING, id="the first ping after one interval"),
        pytest.param(
            PINGS,
            NOTHING._replace(pinged=110, awaiting=True),
            113,
            Due.PONG,
            id="while a pong is awaited, no ping but its deadline",
        ),
        pytest.param(
            PINGS,
            NOTHING._replace(pinged=110),
            120,
            Due.PING,
            id="after the pong, the next ping",
        ),
        pytest.param(
            MEASURED,
            NOTHING._replace(pinged=110, awaiting=True),
            120,
            Due.PING,
            id="without a deadline for pongs, pings go on",
        ),
        pytest.param(
            ALL,
            NOTHING._replace(pinged=110, awaiting=True),
            113,
            Due.PONG,
            id="the earliest of all",
        ),
    ],
)
def test_what_is_due_first(
    limits: Limits, moments: Moments, first: float | None, what: Due | None
) -> None:
    assert next_deadline(limits, moments) == first
    if first is None:
        assert due(limits, moments, 1e9) is None
    else:
        assert due(limits, moments, first - 0.001) is None
        assert due(limits, moments, first) is what


@pytest.mark.parametrize(
    ("moments", "what"),
    [
        pytest.param(NOTHING._replace(pinged=110, awaiting=True), Due.AGE, id="age first"),
        pytest.param(
            NOTHING._replace(opened=950, pinged=960, awaiting=True), Due.PONG, id="then a pong"
        ),
        pytest.param(NOTHING._replace(opened=990), Due.IDLE, id="then idleness"),
        pytest.param(
            NOTHING._replace(opened=950, active=999, pinged=960), Due.PING, id="then a ping"
        ),
    ],
)
def test_of_several_that_are_due_the_gravest_comes_first(moments: Moments, what: Due) -> None:
    assert due(ALL, moments, 1000) is what


def test_every_end_that_the_clock_brings_has_a_code_that_may_be_sent() -> None:
    assert CLOSES.keys() == {Due.AGE, Due.PONG, Due.IDLE}
    assert all(code in (1001, 1011) and text for _, code, text in CLOSES.values())
