"""Structured log lines: JSON for machines, a readable line for a person on a terminal.

Every call names an event and its fields: `log.info("leading", epoch=3)`. Lines of libraries come
out in the same form. Values are escaped by the encoder, so nothing that a user's object holds can
forge a line.
"""

from __future__ import annotations

import logging
import sys
import time
from typing import Any, Final

import msgspec

_logger: Final = logging.getLogger("wsroute_operator")
_KOPF_IN_A_THREAD: Final = "kopf._core.reactor.running"


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        head = {
            "time": _moment(record),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
        }
        return msgspec.json.encode(head | _fields(record), enc_hook=str).decode()


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        pairs = "".join(f"  {name}={value!s}" for name, value in _fields(record).items())
        text = f"{_moment(record)[11:23]} {record.levelname:<7} {record.getMessage()}{pairs}"
        return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _moment(record: logging.LogRecord) -> str:
    second = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    return f"{second}.{int(record.msecs):03d}Z"


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    fields: dict[str, Any] = dict(getattr(record, "fields", {}))
    if not record.name.startswith("wsroute"):
        fields["logger"] = record.name
    if record.exc_info and record.exc_info[1] is not None:
        fields |= {"error": repr(record.exc_info[1]), "at": _place(record)}
    return fields


def _place(record: logging.LogRecord) -> str:
    """File and line of an exception's innermost frame: enough to find it, and one line."""
    traceback = record.exc_info[2] if record.exc_info else None
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    return f"{traceback.tb_frame.f_code.co_filename}:{traceback.tb_lineno}" if traceback else ""


def setup(level: str, form: str) -> None:
    """Send lines of `level` and above to standard error, in the form "json", "text" or "auto"."""
    text = form == "text" or (form == "auto" and sys.stderr.isatty())
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Text() if text else _Json())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    _logger.setLevel(level.upper())
    # Its only warnings are that it handles no signals in a thread, which is what it is there for.
    logging.getLogger(_KOPF_IN_A_THREAD).setLevel(logging.ERROR)


def debug(event: str, **fields: object) -> None:
    """What only a developer asks for."""
    _logger.debug(event, extra={"fields": fields})


def info(event: str, **fields: object) -> None:
    """What an operator of the service wants to know."""
    _logger.info(event, extra={"fields": fields})


def warning(event: str, **fields: object) -> None:
    """What should not be, and somebody should look at."""
    _logger.warning(event, extra={"fields": fields})


def error(event: str, cause: BaseException, **fields: object) -> None:
    """What is broken; `cause` gives its type, text and place, never a traceback."""
    _logger.error(event, exc_info=cause, extra={"fields": fields})
