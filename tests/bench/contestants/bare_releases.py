"""A bare HTTP client that makes CALLS release calls, CONCURRENCY at a time, and a bare handler for their proofs."""

from __future__ import annotations

import asyncio
import os

import aiohttp
from aiohttp import web


async def receive(request: web.Request) -> web.Response:
    """Read it, store nothing."""
    await request.read()
    return web.Response(text="stored")


async def main() -> None:
    """Listen, then call."""
    app = web.Application()
    app.router.add_post("/webhooks/sunshine", receive)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", int(os.environ["PORT"]), backlog=1024).start()
    numbers = iter(range(int(os.environ["CALLS"])))
    headers = {"Authorization": aiohttp.encode_basic_auth("int_benchmark", "benchmark-benchmark")}
    async with aiohttp.ClientSession(os.environ["SUNSHINE_BASE_URL"], headers=headers) as http:

        async def calls() -> None:
            for number in numbers:
                path = f"/v2/apps/5fapp/conversations/bare-{number}/releaseControl"
                async with http.post(path, json={}) as answer:
                    await answer.read()

        await asyncio.gather(*[calls() for _ in range(int(os.environ["CONCURRENCY"]))])
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
