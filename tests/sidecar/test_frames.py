from __future__ import annotations

import sys
from collections.abc import Generator, Sequence
from itertools import pairwise
from typing import TypeVar

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Close as PeerClose
from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader

from tests.sidecar.frame_cases import CASES, Case, feed, state, unhex
from wsroute_sidecar.frames import Tracker, close_frame, ping_frame

OWN_PING = bytes.fromhex("89026869")
OWN_CLOSE = bytes.fromhex("880203e9")
HELD_MAX = 130

T = TypeVar("T")


every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def check(case: Case, cuts: Sequence[int]) -> Tracker:
    tracker = case.tracker()
    assert feed(tracker, case.data, cuts, case.inserts) == case.expected
    assert tracker.at_boundary == case.boundary
    assert (tracker.broken, tracker.too_big) == (case.broken, case.too_big)
    assert tracker.close == case.closed
    assert (tracker.messages, tracker.data_bytes) == (case.messages, case.data_bytes)
    assert tracker.ponged == case.answered
    return tracker


def test_the_names_of_the_cases_are_distinct() -> None:
    assert len({case.name for case in CASES}) == len(CASES)


@every_case
def test_case_in_one_piece(case: Case) -> None:
    tracker = check(case, [])
    assert tracker.flush() == case.rest


@every_case
def test_case_byte_by_byte(case: Case) -> None:
    tracker = check(case, range(len(case.data)))
    assert tracker.flush() == case.rest


@every_case
def test_case_in_two_pieces(case: Case) -> None:
    size = len(case.data)
    for cut in range(size) if size < 200 else (1, 2, 3, 9, 10, 11, size - 1):
        check(case, [cut])


@every_case
def test_case_with_more_bytes_after_its_end(case: Case) -> None:
    trailing = Frame(Opcode.PING, b"x").serialize(mask=case.masked)
    for cuts in ([], [len(case.data)]):
        tracker = case.tracker()
        out = feed(tracker, case.data + trailing, cuts, case.inserts) + tracker.flush()
        assert out == case.expected + (b"" if case.muted else case.rest + trailing)
        assert tracker.broken >= case.broken
        assert tracker.too_big == case.too_big
        assert case.closed in {None, tracker.close}


@pytest.mark.parametrize(
    ("before", "data"),
    [
        pytest.param("", "81 05 48656c6c6f", id="a short message"),
        pytest.param("", "82 7e 0080 61*128", id="a longer message"),
        pytest.param("", "81 00 81 01 61", id="several messages"),
        pytest.param("", "01 00 89 00 80 00", id="fragments and a ping"),
        pytest.param("82 7f 0000000000010000", "61*65535", id="within a payload"),
        pytest.param("82 7f 0000000000010000", "61*65536", id="the rest of a payload"),
        pytest.param("ff ff", "61*65536", id="after garbage"),
    ],
)
def test_what_passes_whole_is_not_copied(before: str, data: str) -> None:
    tracker, chunk = Tracker(masked=False), unhex(data)
    tracker.feed(unhex(before))
    assert tracker.feed(chunk) is chunk


def test_an_incomplete_frame_that_was_flushed_lets_nothing_in() -> None:
    tracker = Tracker(masked=False)
    tracker.feed(b"\x81")
    assert tracker.flush() == b"\x81"
    assert tracker.insert(OWN_CLOSE) == b""


class Stream(msgspec.Struct):
    """A legal stream, and where its frames lie."""

    masked: bool
    data: bytes = b""
    frames: list[tuple[int, int, int]] = []
    """For each: its start, from where on a part of it may have gone out, its end."""
    messages: int = 0

    def add(self, opcode: Opcode, payload: bytes, *, fin: bool = True, rsv1: bool = False) -> None:
        start = len(self.data)
        frame = Frame(opcode, payload, fin=fin).serialize(mask=self.masked)
        self.data += bytes([frame[0] | rsv1 << 6]) + frame[1:]
        end, head = len(self.data), len(frame) - len(payload) - (4 if self.masked else 0)
        control = opcode in {Opcode.PING, Opcode.PONG}
        self.frames.append((start, end if control else start + head, end))

    def boundary(self, offset: int) -> int:
        """Where a frame goes in that is offered when `offset` bytes have come."""
        for start, shown, end in self.frames:
            if start <= offset < end:
                return start if offset < shown else end
        return offset


def hostile(size: int) -> bytes:
    """A payload that looks like frames wherever it is cut."""
    return (b"\x81\x00" * size)[:size]


sizes = st.one_of(st.integers(0, 130), st.sampled_from([256, 511, 65535, 65536, 66000]))


@st.composite
def streams(draw: st.DrawFn) -> Stream:
    stream = Stream(masked=draw(st.booleans()))
    for _ in range(draw(st.integers(0, 4))):
        opcode, rsv1 = draw(st.sampled_from([Opcode.TEXT, Opcode.BINARY])), draw(st.booleans())
        fragments = draw(st.lists(sizes, min_size=1, max_size=3))
        for index, size in enumerate(fragments):
            last = index == len(fragments) - 1
            stream.add(opcode, hostile(size), fin=last, rsv1=rsv1 and index == 0)
            opcode = Opcode.CONT
            for control in draw(st.lists(st.sampled_from([Opcode.PING, Opcode.PONG]), max_size=2)):
                stream.add(control, draw(st.binary(max_size=125)))
        stream.messages += 1
    return stream


@st.composite
def streams_and_offsets(draw: st.DrawFn) -> tuple[Stream, list[int]]:
    stream = draw(streams())
    inside = st.integers(0, len(stream.data))
    edges = st.sampled_from([edge for frame in stream.frames for edge in frame] or [0])
    return stream, draw(st.lists(st.one_of(inside, edges), max_size=8))


@given(streams_and_offsets())
def test_a_legal_stream_passes_unchanged_however_it_is_cut(cut: tuple[Stream, list[int]]) -> None:
    stream, cuts = cut
    tracker = Tracker(masked=stream.masked)
    assert feed(tracker, stream.data, cuts) == stream.data
    assert tracker.at_boundary
    assert not tracker.broken
    assert tracker.messages == stream.messages


@given(streams_and_offsets(), st.data())
def test_own_pings_go_in_between_two_frames_or_not_at_all(
    cut: tuple[Stream, list[int]], data: st.DataObject
) -> None:
    stream, cuts = cut
    offsets = sorted(data.draw(st.lists(st.integers(0, len(stream.data)), max_size=3)))
    expected, at = b"", 0
    for offset in offsets:
        boundary = stream.boundary(offset)
        if boundary <= offset:
            expected, at = expected + stream.data[at:boundary] + OWN_PING, boundary
    out = feed(
        Tracker(masked=stream.masked), stream.data, cuts, [(offset, OWN_PING) for offset in offsets]
    )
    assert out == expected + stream.data[at:]


@given(streams_and_offsets(), st.data())
def test_the_own_close_goes_in_at_the_nearest_boundary_and_is_the_last(
    cut: tuple[Stream, list[int]], data: st.DataObject
) -> None:
    stream, cuts = cut
    offset = data.draw(st.integers(0, len(stream.data)))
    out = feed(Tracker(masked=stream.masked), stream.data, cuts, [(offset, OWN_CLOSE)])
    assert out == stream.data[: stream.boundary(offset)] + OWN_CLOSE


def mutated(stream: Stream, changes: Sequence[tuple[int, int]]) -> bytes:
    data = bytearray(stream.data)
    for offset, value in changes:
        if data:
            data[offset % len(data)] = value
    return bytes(data)


garbage = st.one_of(
    st.binary(max_size=300),
    st.builds(mutated, streams(), st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)))),
)


@given(garbage, st.booleans(), st.lists(st.integers(0, 300)))
def test_anything_passes_unchanged_at_once_but_for_one_control_frame(
    data: bytes, masked: bool, cuts: list[int]
) -> None:
    tracker, come, gone = Tracker(masked=masked), 0, b""
    for start, end in pairwise(sorted({0, *(cut for cut in cuts if cut < len(data)), len(data)})):
        come += end - start
        gone += tracker.feed(data[start:end])
        assert data.startswith(gone)
        assert come - len(gone) <= HELD_MAX
        assert sum(sys.getsizeof(value) for value in state(tracker)) < 1024
    assert gone + tracker.flush() == data


@given(garbage, st.booleans(), st.lists(st.integers(0, 300)), st.none() | st.integers(0, 300))
def test_where_the_stream_is_cut_makes_no_difference(
    data: bytes, masked: bool, cuts: list[int], limit: int | None
) -> None:
    inserts = [(len(data) // 2, OWN_PING)]
    whole, parts = (Tracker(masked=masked, max_message=limit) for _ in range(2))
    out = feed(parts, data, [cut for cut in cuts if cut < len(data)], inserts)
    assert out == feed(whole, data, [], inserts)
    assert list(state(parts)) == list(state(whole))


def parsed(data: bytes, *, mask: bool) -> Frame:
    """The one frame in `data`, as an implementation reads it that is not ours."""
    reader = StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    frame = finished(Frame.parse(reader.read_exact, mask=mask))
    assert finished(reader.at_eof())
    return frame


def finished(steps: Generator[None, None, T]) -> T:
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            value: T = stop.value
            return value


@pytest.mark.parametrize("mask", [False, True])
@pytest.mark.parametrize(
    ("reason", "sent"),
    [
        pytest.param("", "", id="none"),
        pytest.param("going away", "going away", id="short"),
        pytest.param("a" * 124, "a" * 123, id="too long"),
        pytest.param("é" * 62, "é" * 61, id="too long by half a letter"),
        pytest.param("\ud800", "?", id="no text"),
    ],
)
def test_a_close_frame_carries_code_and_reason(reason: str, sent: str, mask: bool) -> None:
    frame = parsed(close_frame(1001, reason, mask=mask), mask=mask)
    assert frame.opcode is Opcode.CLOSE
    assert PeerClose.parse(frame.data) == PeerClose(1001, sent)


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 2999, 5000, 65536])
def test_a_close_code_that_is_never_sent_is_refused(code: int) -> None:
    with pytest.raises(ValueError, match=str(code)):
        close_frame(code, "", mask=False)


@pytest.mark.parametrize("mask", [False, True])
@pytest.mark.parametrize("payload", [b"", b"beat", bytes(125)])
def test_a_ping_frame_carries_its_payload(payload: bytes, mask: bool) -> None:
    frame = parsed(ping_frame(payload, mask=mask), mask=mask)
    assert (frame.opcode, frame.data) == (Opcode.PING, payload)


def test_a_ping_frame_holds_no_more_than_a_control_frame_may() -> None:
    with pytest.raises(ValueError, match="126"):
        ping_frame(bytes(126), mask=False)


def test_each_masked_frame_has_a_key_of_its_own() -> None:
    assert len({ping_frame(bytes(8), mask=True) for _ in range(8)}) == 8
