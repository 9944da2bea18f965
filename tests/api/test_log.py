from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest

from wsroute_api import log


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger()
    before = root.handlers, root.level, log._sink
    yield
    root.handlers = before[0]
    root.setLevel(before[1])
    log._sink = before[2]


def test_a_line_of_json_has_event_and_fields(capsys: pytest.CaptureFixture[str]) -> None:
    log.setup("info", "json")
    log.info("push_failed", pod="shop/p", reason='a "quoted"\nword')
    line = json.loads(capsys.readouterr().err)
    assert line["level"] == "info"
    assert line["event"] == "push_failed"
    assert line["reason"] == 'a "quoted"\nword'
    assert line["time"].endswith("Z")


def test_what_json_has_no_word_for_is_written_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    log.setup("info", "json")
    log.info("started", path=Path("/run"))
    assert json.loads(capsys.readouterr().err)["path"] == "/run"


def test_a_readable_line_stays_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    log.setup("info", "text")
    log.warning("push_failed", reason="two\nlines\x1b[31m")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("push failed     \x1b[0m  reason=two\\nlines\\x1b[31m")


def test_an_error_has_its_cause_and_place(capsys: pytest.CaptureFixture[str]) -> None:
    log.setup("info", "json")
    try:
        int("oops")
    except ValueError as error:
        log.error("broken", error)
    line = json.loads(capsys.readouterr().err)
    assert line["error"].startswith("ValueError(")
    assert "test_log.py:" in line["at"]


def test_libraries_speak_in_the_same_form_and_only_of_what_matters(
    capsys: pytest.CaptureFixture[str],
) -> None:
    log.setup("debug", "json")
    logging.getLogger("kopf").info("chatter")
    logging.getLogger("kopf").warning("trouble %s", 1)
    line = json.loads(capsys.readouterr().err)
    assert (line["event"], line["logger"]) == ("trouble 1", "kopf")


def test_lines_below_the_level_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    log.setup("warning", "json")
    log.info("quiet")
    log.debug("quiet")
    assert capsys.readouterr().err == ""


def test_lines_of_a_block_are_written_at_once_also_where_it_fails() -> None:
    writes: list[str] = []

    def fail() -> None:
        with log.together():
            log.warning("one")
            with log.together():
                log.warning("two")
            assert writes == []
            raise LookupError

    with mock.patch("sys.stderr", mock.Mock(write=writes.append)):
        with pytest.raises(LookupError):
            fail()
        log.warning("three")
    assert [len(each.splitlines()) for each in writes] == [2, 1]
