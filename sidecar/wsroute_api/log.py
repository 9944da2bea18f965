"""Structured log lines: JSON for machines, a readable line for a person on a terminal.

Every call names an event and its fields: `log.info("tunnel_opened", route=..., client=...)`.
Lines of libraries come out in the same form. Values are escaped by the encoder, so nothing that a
peer sends, or a user's object holds, can forge a line.

Own lines do not go through `logging`, which costs more than all else that an access line needs.
"""

from __future__ import annotations

import contextlib
import datetime
import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, Concatenate, Final, ParamSpec

import msgspec


class Line(msgspec.Struct, frozen=True):
    """The beginning of a line whose fields are known: that costs a third of one that is a dict."""

    time: datetime.datetime
    level: str
    event: str


_Form = Callable[[Line | dict[str, Any]], str]
"""The text of a line, with its end."""

_encoder: Final = msgspec.json.Encoder(enc_hook=str)


def _json(line: Line | dict[str, Any]) -> str:
    return _encoder.encode(line).decode() + "\n"


_COLOURS: Final = {"warning": "\033[33m", "error": "\033[31m", "debug": "\033[2m"}


def _text(line: Line | dict[str, Any]) -> str:
    fields = msgspec.structs.asdict(line) if isinstance(line, Line) else line
    moment, level, event = (fields.pop(name) for name in Line.__struct_fields__)
    at = f"{moment:%H:%M:%S}.{moment.microsecond // 1000:03d}"
    pairs = "  ".join(f"{name}={_plain(value)}" for name, value in fields.items())
    words = escaped(event).replace("_", " ")
    return f"\033[2m{at}\033[0m {_COLOURS.get(level, '')}{words:<16}\033[0m  {pairs}\n"


def _plain(value: object) -> str:
    text = escaped(str(value))
    return f'"{text}"' if " " in text or not text else text


def escaped(text: str) -> str:
    """`text` on one line, with nothing in it that a terminal obeys."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


class _Sink:
    """Where lines go, and which: standard error, in one form, from one level on."""

    def __init__(self, form: _Form, level: int) -> None:
        self.form: Final = form
        self.level: Final = level
        self.held: list[str] | None = None

    def write(self, level: str, event: str, fields: Mapping[str, Any]) -> None:
        self.put({"time": _now(), "level": level, "event": event, **fields})

    def put(self, line: Line | dict[str, Any]) -> None:
        text = self.form(line)
        if self.held is None:
            sys.stderr.write(text)
        else:
            self.held.append(text)


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


_sink = _Sink(_json, logging.WARNING)


class _Libraries(logging.Handler):
    """Lines of libraries."""

    def emit(self, record: logging.LogRecord) -> None:
        fields = {"logger": record.name}
        if record.exc_info and record.exc_info[1] is not None:
            fields |= _caused(record.exc_info[1], record.exc_info[2])
        _sink.write(record.levelname.lower(), record.getMessage(), fields)


def _caused(cause: BaseException, traceback: TracebackType | None) -> dict[str, str]:
    """An exception, with file and line of its innermost frame: enough to find it, in one line."""
    place = ""
    while traceback is not None:
        place = f"{traceback.tb_frame.f_code.co_filename}:{traceback.tb_lineno}"
        traceback = traceback.tb_next
    return {"error": repr(cause), "at": place}


def setup(level: str, form: str) -> None:
    """Send lines of `level` and above to standard error, as "json", "text" or "auto"."""
    global _sink  # noqa: PLW0603 - a process has one standard error
    text = form == "text" or (form == "auto" and sys.stderr.isatty())
    _sink = _Sink(_text if text else _json, logging.getLevelNamesMapping()[level.upper()])
    root = logging.getLogger()
    root.handlers = [_Libraries()]
    root.setLevel(logging.WARNING)


@contextlib.contextmanager
def together() -> Iterator[None]:
    """Write the lines of a block at once, at its end: one write each costs as much as its line."""
    sink = _sink
    if sink.held is not None:
        yield
        return
    sink.held = []
    try:
        yield
    finally:
        lines, sink.held = sink.held, None
        if lines:
            sys.stderr.write("".join(lines))


def debug(event: str, **fields: object) -> None:
    """What only a developer asks for."""
    if _sink.level <= logging.DEBUG:
        _sink.write("debug", event, fields)


_Fields = ParamSpec("_Fields")


def access(
    line: Callable[Concatenate[datetime.datetime, str, str, _Fields], Line],
    event: str,
    *fields: _Fields.args,
    **named: _Fields.kwargs,
) -> None:
    """As `info`, for a kind of Line, and for its fields in their order."""
    if _sink.level <= logging.INFO:
        _sink.put(line(_now(), "info", event, *fields, **named))


def info(event: str, **fields: object) -> None:
    """What an operator of the service wants to know."""
    if _sink.level <= logging.INFO:
        _sink.write("info", event, fields)


def warning(event: str, **fields: object) -> None:
    """What should not be, and somebody should look at."""
    if _sink.level <= logging.WARNING:
        _sink.write("warning", event, fields)


def error(event: str, cause: BaseException | None = None, **fields: object) -> None:
    """What is broken; `cause` gives its type, text and place, never a traceback."""
    more = {} if cause is None else _caused(cause, cause.__traceback__)
    _sink.write("error", event, fields | more)
