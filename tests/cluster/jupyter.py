"""A Jupyter server as its users know it: a token, kernels, and a kernel's WebSocket.

The messages have the layout of the subprotocol v1.kernel.websocket.jupyter.org: a count of
offsets, the offsets, the channel, and a message's parts, of which each offset is the start.
"""

from __future__ import annotations

import json
import secrets
import struct
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection
from websockets.typing import Subprotocol

from .tunnels import LIMIT, tunnel

TOKEN: Final = "a-token-for-tests"  # noqa: S105 - of a server that lives for seconds
COMMAND: Final = (
    *("jupyter", "server", "--ip=0.0.0.0", "--port=8888", "--no-browser"),
    *(f"--IdentityProvider.token={TOKEN}", "--ServerApp.root_dir=/tmp"),
)

_PROTOCOL: Final = Subprotocol("v1.kernel.websocket.jupyter.org")


class Answer(NamedTuple):
    """What is compared of an HTTP answer."""

    status: int
    body: bytes


@dataclass(frozen=True)
class Jupyter:
    """A server at an authority, such as 10.0.0.1:8888, and a browser that may have logged in."""

    authority: str

    @contextmanager
    def kernel(self) -> Iterator[str]:
        """The path of a new kernel's WebSocket."""
        path = f"/api/kernels/{self._call('POST', '/api/kernels')['id']}"
        yield f"{path}/channels"
        self._call("DELETE", path)

    def cookie(self) -> str:
        """What a browser holds after it has logged in with the token."""
        url = f"http://{self.authority}/api/status?token={TOKEN}"
        with urllib.request.urlopen(url, timeout=LIMIT) as answer:
            return str(answer.headers["Set-Cookie"]).partition(";")[0]

    @contextmanager
    def channels(
        self, path: str, *, origin: str | None = None, cookie: str | None = None
    ) -> Iterator[ClientConnection]:
        """A kernel's WebSocket, opened from a page of this server, or of another origin."""
        with tunnel(
            f"ws://{self.authority}{path}",
            origin=origin or f"http://{self.authority}",
            additional_headers={"Cookie": cookie} if cookie else {},
            subprotocols=[_PROTOCOL],
        ) as opened:
            assert opened.subprotocol == _PROTOCOL
            yield opened

    def refusal(self, path: str, **sent: str | None) -> Answer:
        """The answer to a handshake that the server refuses."""
        try:
            with self.channels(path, **sent):
                raise AssertionError("the handshake was not refused")
        except InvalidStatus as refused:
            return Answer(refused.response.status_code, bytes(refused.response.body))

    def _call(self, method: str, path: str) -> Any:
        request = urllib.request.Request(
            f"http://{self.authority}{path}",
            method=method,
            headers={"Authorization": f"token {TOKEN}"},
        )
        with urllib.request.urlopen(request, timeout=LIMIT) as answer:  # noqa: S310
            return json.loads(answer.read() or b"null")


def execute(channels: ClientConnection, code: str) -> str:
    """Have a kernel execute `code`, and return what it prints."""
    identity = secrets.token_hex(16)
    header = {
        "msg_id": identity,
        "msg_type": "execute_request",
        "session": "test",
        "username": "test",
        "version": "5.4",
    }
    channels.send(_packed("shell", header, {}, {}, {"code": code}))
    printed = ""
    while True:
        header, parent, _, content = _unpacked(channels.recv(timeout=LIMIT))
        if parent.get("msg_id") != identity:
            continue
        if header["msg_type"] == "stream":
            printed += content["text"]
        if content.get("execution_state") == "idle":
            return printed


def _packed(channel: str, *parts: dict[str, Any]) -> bytes:
    pieces = [channel.encode(), *(json.dumps(part).encode() for part in parts)]
    count = len(pieces) + 1
    offsets = [8 * (1 + count)]
    for piece in pieces:
        offsets.append(offsets[-1] + len(piece))
    return struct.pack(f"<{1 + count}Q", count, *offsets) + b"".join(pieces)


def _unpacked(message: str | bytes) -> list[dict[str, Any]]:
    """Header, parent header, metadata and content."""
    assert isinstance(message, bytes)
    (count,) = struct.unpack_from("<Q", message)
    offsets = struct.unpack_from(f"<{count}Q", message, 8)
    return [json.loads(message[offsets[i] : offsets[i + 1]]) for i in range(1, 5)]
