"""A bare aiohttp handler that reads the body and answers 200: the measure of all intake figures."""

from __future__ import annotations

import os

from aiohttp import web


async def receive(request: web.Request) -> web.Response:
    """Read it, store nothing."""
    await request.read()
    return web.Response(text="stored")


if __name__ == "__main__":
    app = web.Application()
    app.router.add_post("/webhooks/sunshine", receive)
    web.run_app(app, host="127.0.0.1", port=int(os.environ["PORT"]), print=None, access_log=None)
