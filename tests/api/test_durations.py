from __future__ import annotations

import pytest

from wsroute_api import durations


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0s", 0.0),
        ("30s", 30.0),
        ("1h", 3600.0),
        ("1h30m", 5400.0),
        ("500ms", 0.5),
        ("1m1ms", 60.001),
        ("1h1m1s1ms", 3661.001),
        ("99999h", 359996400.0),
        ("10s10s", 20.0),
    ],
)
def test_a_duration_is_its_length_in_seconds(text: str, seconds: float) -> None:
    assert durations.parse(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "5",
        "s",
        "-1s",
        "1.5s",
        "1d",
        "1us",
        "100000s",
        "1h1m1s1ms1s",
        " 1s",
        "1s ",
        "1s\n",
        "\u0661s",
    ],
    ids=repr,
)
def test_what_gateway_api_does_not_call_a_duration_is_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration") as refused:
        durations.parse(text)
    assert repr(text) in str(refused.value)


@pytest.mark.parametrize(
    ("setting", "default", "applies"),
    [
        pytest.param(None, 10.0, 10.0, id="absent takes the default"),
        pytest.param(None, None, None, id="absent without a default is no limit"),
        pytest.param("0s", 10.0, None, id="zero disables, whatever the default"),
        pytest.param("0h0ms", 10.0, None, id="zero in any spelling disables"),
        pytest.param("2s", 10.0, 2.0, id="a value applies"),
    ],
)
def test_default_disabled_and_explicit_are_three_states(
    setting: str | None, default: float | None, applies: float | None
) -> None:
    assert durations.effective(setting, default) == applies
