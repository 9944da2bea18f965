"""The table of frame_cases.json, and how a tracker is fed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import msgspec

from wsroute_sidecar.frames import Close, Tracker


def unhex(text: str) -> bytes:
    """The bytes of a case's text, in which `61*126` repeats a byte."""
    pairs = (word.partition("*") for word in text.split())
    return b"".join(bytes.fromhex(word) * int(times or 1) for word, _, times in pairs)


class Case(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    input: str
    messages: int
    data_bytes: int
    masked: bool = False
    limit: int | None = None
    pong: str | None = None
    insert: Sequence[tuple[int, str]] = ()
    output: str | None = None
    held: str = ""
    boundary: bool = True
    muted: bool = False
    broken: bool = False
    too_big: bool = False
    answered: bool = False
    close: tuple[int | None, str] | None = None

    @property
    def data(self) -> bytes:
        return unhex(self.input)

    @property
    def inserts(self) -> list[tuple[int, bytes]]:
        return [(offset, unhex(frame)) for offset, frame in self.insert]

    @property
    def closed(self) -> Close | None:
        return self.close and Close(self.close[0], unhex(self.close[1]))

    @property
    def expected(self) -> bytes:
        return self.data[: -len(self.rest) or None] if self.output is None else unhex(self.output)

    @property
    def rest(self) -> bytes:
        return unhex(self.held)

    def tracker(self) -> Tracker:
        tracker = Tracker(masked=self.masked, max_message=self.limit)
        tracker.own_ping = None if self.pong is None else unhex(self.pong)
        return tracker


class Table(msgspec.Struct, forbid_unknown_fields=True):
    about: list[str]
    cases: list[Case]


CASES = msgspec.json.decode(
    Path(__file__).with_name("frame_cases.json").read_bytes(), type=Table
).cases


def feed(
    tracker: Tracker, data: bytes, cuts: Sequence[int], inserts: Sequence[tuple[int, bytes]] = ()
) -> bytes:
    """What goes out of `data`, cut at the offsets in `cuts` and where something is put in."""
    out = bytearray()
    ends = sorted({0, *cuts, *(offset for offset, _ in inserts), len(data)})
    for start, end in pairwise([0, *ends]):
        out += tracker.feed(data[start:end])
        for offset, frame in inserts:
            if offset == end:
                out += tracker.insert(frame)
    return bytes(out)


def state(tracker: Tracker) -> Iterator[object]:
    return (getattr(tracker, slot) for slot in Tracker.__slots__)
