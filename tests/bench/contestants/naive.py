"""A handler as one writes it first: it releases control inline, before it answers, and stores nothing."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

import aiohttp
from aiohttp import web

HTTP = web.AppKey("HTTP", aiohttp.ClientSession)


async def receive(request: web.Request) -> web.Response:
    """Release every conversation that has ended."""
    for event in (await request.json())["events"]:
        message = event["payload"].get("message", {})
        if message.get("activity", {}).get("type") == "conversation:endedByUser":
            conversation_id = event["payload"]["conversation"]["id"]
            path = f"/v2/apps/5fapp/conversations/{conversation_id}/releaseControl"
            async with request.app[HTTP].post(path, json={}) as answer:
                await answer.read()
    return web.Response(text="done")


async def connections(app: web.Application) -> AsyncIterator[None]:
    """One session for all calls."""
    headers = {"Authorization": aiohttp.encode_basic_auth("int_benchmark", "benchmark-benchmark")}
    async with aiohttp.ClientSession(os.environ["SUNSHINE_BASE_URL"], headers=headers) as app[HTTP]:
        yield


if __name__ == "__main__":
    app = web.Application()
    app.router.add_post("/webhooks/sunshine", receive)
    app.cleanup_ctx.append(connections)
    web.run_app(app, host="127.0.0.1", port=int(os.environ["PORT"]), print=None, access_log=None)
