"""Sends back what it gets: WebSocket messages as they are, and of a plain request what came in.

It prints one line when a WebSocket ends: the code and reason that the client's side gave.
On SIGTERM it ends at once, whatever is open: the rudest server that a sidecar has to live with.
"""

from __future__ import annotations

import os
import signal

from aiohttp import WSMsgType, web


async def answer(request: web.Request) -> web.StreamResponse:
    ws = web.WebSocketResponse(max_msg_size=0)
    if not ws.can_prepare(request):
        return web.json_response({"target": request.raw_path, "headers": dict(request.headers)})
    await ws.prepare(request)
    while True:
        message = await ws.receive()
        match message.type:
            case WSMsgType.TEXT:
                await ws.send_str(message.data)
            case WSMsgType.BINARY:
                await ws.send_bytes(message.data)
            case _:
                print(f"closed {request.path}: {message.data} {message.extra}", flush=True)
                return ws


app = web.Application()
app.router.add_route("*", "/{path:.*}", answer)

if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    web.run_app(app, port=8080, handle_signals=False)
