"""The table of answer_cases.json, and what a judge makes of an answer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from wsroute_sidecar.dial import Switching
from wsroute_sidecar.forward import Judge
from wsroute_sidecar.handshake import Answer, BadAnswer, Upgrade
from wsroute_sidecar.headers import NO_CHANGE

_SWITCHING: Final = (
    "HTTP/1.1 101 Switching Protocols",
    "Upgrade: websocket",
    "Connection: Upgrade",
)


def _head(lines: Sequence[str]) -> bytes:
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode("latin-1")


class Case(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    answer: Sequence[str]
    passes: Sequence[str] | None = None
    subprotocol: str = ""
    judged: bool = False

    @property
    def head(self) -> bytes:
        return _head(self.answer)

    @property
    def opens(self) -> Switching | None:
        if self.passes is None:
            return None
        return Switching(_head((*_SWITCHING, *self.passes)), self.subprotocol)


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    about: str
    accept: str
    cases: Sequence[Case]


_TABLE: Final = msgspec.json.decode(
    Path(__file__).with_name("answer_cases.json").read_bytes(), type=_Table
)
CASES: Final = _TABLE.cases
ACCEPT: Final = _TABLE.accept.encode()
_JUDGE: Final = Judge(Upgrade(ACCEPT, ()), NO_CHANGE)


def judged(head: bytes) -> Switching | None:
    """How `head` opens the tunnel, if it does."""
    try:
        answer = _JUDGE(head)
    except BadAnswer:
        return None
    return None if isinstance(answer, Answer) else answer
