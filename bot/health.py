"""`/healthz`, `/readyz`, and `/metrics`, for any process of the bot that listens."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable

from aiohttp import web

from bot.clock import Clock
from bot.observability import Metrics
from bot.signals import Level, Observe, Signal
from bot.store import StoreError
from bot.store.interface import Store
from bot.troubles import Troubles, What
from webhooks.inbox import GroupCommit

READY_WITHIN = 2.0  # seconds for the database's answer; callers have a short timeout of their own
_OFF = "metrics are off here: set METRICS_TOKEN or METRICS_PORT\n"


def add_health(
    app: web.Application,
    store: Store,
    inbox: GroupCommit | None,
    observe: Observe,
    troubles: Troubles | None = None,
    is_stuck: Callable[[], bool] = lambda: False,
) -> None:
    """Add `/healthz` and `/readyz`. A process without an inbox is ready when its database is.

    A process whose worker `is_stuck` is not alive: only a new start helps.

    A database that answers is not enough: while `troubles` says that nothing can be stored, the process is not ready.

    Anybody may ask, so an answer names no host, role, or file. The log does, whenever readiness changes.
    """
    known = ""  # why it is not ready, as logged last

    async def healthz(_: web.Request) -> web.Response:
        if is_stuck():
            return web.Response(text="not alive: code blocks the event loop\n", status=503)
        return web.Response(text="alive\n")

    async def readyz(_: web.Request) -> web.Response:
        nonlocal known
        shown, reason = await _problem(store, inbox, troubles)
        if bool(reason) != bool(known):
            observe(Signal("not_ready", Level.WARNING, fields={"reason": reason}) if reason else Signal("ready_again"))
        known = reason
        return web.Response(text=f"not ready: {shown}\n", status=503) if reason else web.Response(text="ready\n")

    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)


async def _problem(store: Store, inbox: GroupCommit | None, troubles: Troubles | None) -> tuple[str, str]:
    """What keeps the process from being ready, for anybody and for the log; empty if nothing does."""
    if inbox and inbox.is_crowded:
        return (waiting := f"{inbox.waiting} events wait to be stored"), waiting
    try:
        async with asyncio.timeout(READY_WITHIN):
            await store.ping()
    except StoreError as error:
        return "the database can't be used", str(error) or type(error).__name__
    except TimeoutError:
        return (late := f"no answer from the database in {READY_WITHIN:g} s"), late
    if troubles and (problem := troubles.fails(What.DATABASE)):
        return "nothing can be stored", problem
    return "", ""


def add_metrics(app: web.Application, store: Store, clock: Clock, metrics: Metrics, token: str) -> None:
    """Add `/metrics`.

    It costs no more than the open work: it counts along indexes that hold nothing else. Where the database does not
    answer, it shows what the process knows by itself, and `switchboard_database_up` 0.

    Args:
        token: what `Authorization: Bearer` has to carry; empty: anybody may look.
    """

    async def show(request: web.Request) -> web.Response:
        if token and not _carries(request, token):
            text = "send METRICS_TOKEN as `Authorization: Bearer`\n"
            return web.Response(text=text, status=401, headers={"WWW-Authenticate": "Bearer"})
        try:
            async with asyncio.timeout(READY_WITHIN):
                counts = await store.counts(clock.now())
        except (StoreError, TimeoutError):
            counts = None
        headers = {"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        return web.Response(body=metrics.show(counts), headers=headers)

    app.router.add_get("/metrics", show)


def add_no_metrics(app: web.Application) -> None:
    """Say in the place of `/metrics` how to have it."""

    async def hint(_: web.Request) -> web.Response:
        return web.Response(text=_OFF, status=404)

    app.router.add_get("/metrics", hint)


def _carries(request: web.Request, token: str) -> bool:
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    is_same = hmac.compare_digest(given.strip().encode("utf-8", "replace"), token.encode())
    return scheme.lower() == "bearer" and is_same
