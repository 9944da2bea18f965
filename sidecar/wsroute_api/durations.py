"""Gateway API durations, and the three states of a time setting.

A setting is absent (the default applies), "0s" (disabled) or explicit. `effective` turns the three
into what a deadline needs: a number of seconds, or None for "never". Zero is never passed on.
"""

from __future__ import annotations

import re
from typing import Final

PATTERN: Final = r"^([0-9]{1,5}(h|m|s|ms)){1,4}\Z"
"""Gateway API's Duration (GEP-2257)."""

_SECONDS: Final = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_DURATION: Final = re.compile(PATTERN)
_PART: Final = re.compile(r"([0-9]{1,5})(ms|h|m|s)")


def parse(text: str) -> float:
    """The length of `text` in seconds; ValueError when it is no Gateway API duration."""
    if not _DURATION.match(text):
        raise ValueError(f"{text!r} is not a duration such as 30s, 1h30m or 500ms")
    return sum(int(number) * _SECONDS[unit] for number, unit in _PART.findall(text))


def effective(setting: str | None, default: float | None) -> float | None:
    """Seconds that apply, or None for no limit: None asks for `default`, "0s" disables."""
    if setting is None:
        return default
    return parse(setting) or None
