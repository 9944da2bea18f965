"""Structured log lines: JSON for machines, a readable line for a person on a terminal.

Every call names an event and its fields: `log.info("tunnel_opened", route=..., client=...)`.
Lines of libraries come out in the same form. Values are escaped by the encoder, so nothing that a
peer sends, or a user's object holds, can forge a line.
"""

from __future__ import annotations

import logging
import sys
import time
from typing import Any, Final

import msgspec

_logger: Final = logging.getLogger("wsroute")


class _Formatter(logging.Formatter):
    """The common ground of both forms: a moment, a level, an event and fields."""

    def format(self, record: logging.LogRecord) -> str:
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        fields: dict[str, Any] = getattr(record, "fields", {})
        if record.name != _logger.name:
            fields = fields | {"logger": record.name}
        if record.exc_info and record.exc_info[1] is not None:
            fields = fields | {"error": repr(record.exc_info[1]), "at": _place(record)}
        return self.line(f"{moment}.{int(record.msecs):03d}Z", record, fields)

    def line(self, moment: str, record: logging.LogRecord, fields: dict[str, Any]) -> str:
        """One line, without its end."""
        raise NotImplementedError


def _place(record: logging.LogRecord) -> str:
    """File and line of an exception's innermost frame: enough to find it, and one line."""
    assert record.exc_info is not None  # noqa: S101 - the caller has looked
    traceback = record.exc_info[2]
    if traceback is None:
        return ""
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    return f"{traceback.tb_frame.f_code.co_filename}:{traceback.tb_lineno}"


class _Json(_Formatter):
    def line(self, moment: str, record: logging.LogRecord, fields: dict[str, Any]) -> str:
        head = {"time": moment, "level": record.levelname.lower(), "event": record.getMessage()}
        return msgspec.json.encode(head | fields, enc_hook=str).decode()


class _Text(_Formatter):
    _COLOURS: Final = {"WARNING": "\033[33m", "ERROR": "\033[31m", "DEBUG": "\033[2m"}

    def line(self, moment: str, record: logging.LogRecord, fields: dict[str, Any]) -> str:
        colour = self._COLOURS.get(record.levelname, "")
        pairs = "  ".join(f"{name}={_plain(value)}" for name, value in fields.items())
        event = escaped(record.getMessage()).replace("_", " ")
        return f"\033[2m{moment[11:23]}\033[0m {colour}{event:<16}\033[0m  {pairs}"


def _plain(value: object) -> str:
    text = escaped(str(value))
    return f'"{text}"' if " " in text or not text else text


def escaped(text: str) -> str:
    """`text` on one line, with nothing in it that a terminal obeys."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def setup(level: str, form: str) -> None:
    """Send lines of `level` and above to standard error, as "json", "text" or "auto"."""
    text = form == "text" or (form == "auto" and sys.stderr.isatty())
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Text() if text else _Json())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    _logger.setLevel(level.upper())


def debug(event: str, **fields: object) -> None:
    """What only a developer asks for."""
    _logger.debug(event, extra={"fields": fields})


def info(event: str, **fields: object) -> None:
    """What an operator of the service wants to know."""
    _logger.info(event, extra={"fields": fields})


def warning(event: str, **fields: object) -> None:
    """What should not be, and somebody should look at."""
    _logger.warning(event, extra={"fields": fields})


def error(event: str, cause: BaseException | None = None, **fields: object) -> None:
    """What is broken; `cause` gives its type, text and place, never a traceback."""
    _logger.error(event, exc_info=cause, extra={"fields": fields})
