"""A Socket.IO server that answers each `say` event with an `echo` event of the same text."""

from __future__ import annotations

import socketio
from aiohttp import web

server = socketio.AsyncServer(async_mode="aiohttp", cors_allowed_origins="*")


async def say(sid: str, text: str) -> None:
    await server.emit("echo", text, to=sid)


server.on("say", say)
app = web.Application()
server.attach(app)

if __name__ == "__main__":
    web.run_app(app, port=8080)
