"""What the durable queues beside ours do for a turn: the same webhook, the same call of the API by the same client."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from bot.sunshine import AiohttpTransport, Credentials, SunshineClient


def client() -> SunshineClient:
    """The bot's own client, as the bot makes it."""
    base_url = os.environ["SUNSHINE_BASE_URL"]
    return SunshineClient(
        base_url, "5fapp", Credentials("int_benchmark", "benchmark-benchmark"), transport=AiohttpTransport(256)
    )


def conversation_id_of(event: dict[str, Any]) -> str:
    """The key by which the steps of a conversation would be kept in order."""
    return str(event["payload"]["conversation"]["id"])


async def take(sunshine: SunshineClient, event: dict[str, Any]) -> None:
    """The step: read what the user wrote, answer it."""
    text = event["payload"]["message"]["content"]["text"]
    content = {"type": "text", "text": f"Thank you, I noted {len(text)} characters. What else?"}
    await sunshine.post_message(conversation_id_of(event), content)


def application(enqueue: Callable[[dict[str, Any]], Awaitable[object]]) -> web.Application:
    """A webhook that answers 200 when its events are enqueued."""

    async def receive(request: web.Request) -> web.Response:
        for event in (await request.json())["events"]:
            await enqueue(event)
        return web.Response(text="stored")

    app = web.Application()
    app.router.add_post("/webhooks/sunshine", receive)
    return app


async def listen(app: web.Application) -> None:
    """Serve it on PORT from now on."""
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", int(os.environ["PORT"]), backlog=1024).start()
