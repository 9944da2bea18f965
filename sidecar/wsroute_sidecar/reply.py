"""JSON answers of the ports that programs ask."""

from __future__ import annotations

import msgspec
from aiohttp import web


def reply(status: int, **body: object) -> web.Response:
    """An answer with `body` as a JSON object."""
    return web.Response(
        status=status, body=msgspec.json.encode(body), content_type="application/json"
    )
