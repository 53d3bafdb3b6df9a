"""`/healthz`, `/readyz` and `/metrics`, for any process of the bot that listens."""

from __future__ import annotations

import asyncio

from aiohttp import web

from bot.clock import Clock
from bot.observability import Metrics
from bot.store import StoreError
from bot.store.interface import Store
from webhooks.inbox import GroupCommit

READY_WITHIN = 2.0  # seconds for the database's answer; who asks has a patience of its own, mostly a short one


def add_health(app: web.Application, store: Store, clock: Clock, metrics: Metrics, inbox: GroupCommit | None) -> None:
    """Add the three pages. A process without an inbox is ready when its database is.

    `/metrics` costs no more than the open work: it counts along indexes that hold nothing else. Where the database does
    not answer, it shows what the process knows by itself, and `switchboard_database_up` 0.
    """

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="alive\n")

    async def readyz(_: web.Request) -> web.Response:
        if inbox and inbox.is_crowded:
            return web.Response(text=f"not ready: {inbox.waiting} events wait to be stored\n", status=503)
        try:
            async with asyncio.timeout(READY_WITHIN):
                await store.ping()
        except StoreError as error:
            return web.Response(text=f"not ready: {error}\n", status=503)
        except TimeoutError:
            return web.Response(text=f"not ready: no answer from the database in {READY_WITHIN:g} s\n", status=503)
        return web.Response(text="ready\n")

    async def show_metrics(_: web.Request) -> web.Response:
        try:
            async with asyncio.timeout(READY_WITHIN):
                counts = await store.counts(clock.now())
        except (StoreError, TimeoutError):
            counts = None
        headers = {"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        return web.Response(body=metrics.show(counts), headers=headers)

    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", show_metrics)
