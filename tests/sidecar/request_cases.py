"""The table of request_cases.json, and what the interpreter makes of a request to upgrade."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_parser import HttpRequestParser
from aiohttp.streams import EMPTY_PAYLOAD

from wsroute_sidecar.adapter import MAX_EARLY, MAX_FIELD, MAX_PARSED, MAX_TARGET
from wsroute_sidecar.handshake import Upgrade, upgrade_request
from wsroute_sidecar.headers import NO_CHANGE, Client, serialize, to_backend
from wsroute_sidecar.requests import Checked, Refusal, check


class Case(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    request: Sequence[str]
    plain: bool = False

    @property
    def head(self) -> bytes:
        return "".join(f"{line}\r\n" for line in (*self.request, "")).encode("latin-1")


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    about: str
    cases: Sequence[Case]


CASES: Final = msgspec.json.decode(
    Path(__file__).with_name("request_cases.json").read_bytes(), type=_Table
).cases

STRANGER: Final = Client("192.0.2.1", ("192.0.2.1",), "http", "a.example", trusted=False)
TRUSTED: Final = Client(
    "2001:db8::1", ("2001:db8::1", "192.0.2.1"), "https", "b.example:444", trusted=True
)
NAMELESS: Final = Client("192.0.2.1", ("192.0.2.1",), "http", "", trusted=False)


class Read(NamedTuple):
    """A request that the interpreter's rules take for one to upgrade."""

    head: Checked
    upgrade: Upgrade
    early: bytes

    def for_backend(self, target: str, host: str, client: Client) -> bytes:
        """The head that the backend gets."""
        fields = to_backend(
            self.head,
            client,
            host=host,
            identity=b"me",
            request_id=b"1d",
            modifier=NO_CHANGE,
            upgrade=True,
        )
        return serialize(f"GET {target} HTTP/1.1".encode(), fields)


def read(received: bytes, loop: asyncio.AbstractEventLoop) -> Read | None:
    """What `received` begins with, if that is a request to upgrade, whole and alone."""
    parser = HttpRequestParser(
        BaseProtocol(loop),
        loop,
        MAX_EARLY,
        max_line_size=MAX_TARGET,
        max_field_size=MAX_FIELD,
        max_headers=MAX_PARSED,
    )
    try:
        messages, upgraded, early = parser.feed_data(received)
    except Exception:  # noqa: BLE001 - whatever it finds wrong
        return None
    if not upgraded or len(messages) != 1:
        return None
    ((message, body),) = messages
    if body is not EMPTY_PAYLOAD or message.should_close:
        return None
    head = check(message.method, message.path, message.version, message.raw_headers)
    if isinstance(head, Refusal):
        return None
    upgrade = upgrade_request(head, message.version, has_body=False)
    return Read(head, upgrade, early) if isinstance(upgrade, Upgrade) else None
