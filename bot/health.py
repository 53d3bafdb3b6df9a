"""`/healthz`, `/readyz` and `/metrics`, for every process that listens."""

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

READY_TIMEOUT = 2.0  # seconds for the database; callers have short timeouts too
_OFF = "metrics are off: set METRICS_TOKEN or METRICS_PORT\n"


def add_health(
    app: web.Application,
    store: Store,
    inbox: GroupCommit | None,
    observe: Observe,
    troubles: Troubles | None = None,
    is_stuck: Callable[[], bool] = lambda: False,
) -> None:
    """Add `/healthz` and `/readyz`.

    A process is alive unless its worker `is_stuck`: then only a restart helps. It is ready if
    the database answers, `troubles` has no database trouble, and the inbox has room.

    The answers are public, so they name no host, role or file. The log does, on each change.
    """
    known = ""  # the last logged reason for not being ready

    async def healthz(_: web.Request) -> web.Response:
        if is_stuck():
            return web.Response(text="not alive: code blocks the event loop\n", status=503)
        return web.Response(text="alive\n")

    async def readyz(_: web.Request) -> web.Response:
        nonlocal known
        shown, reason = await _problem(store, inbox, troubles)
        if bool(reason) != bool(known):
            not_ready = Signal("not_ready", Level.WARNING, fields={"reason": reason})
            observe(not_ready if reason else Signal("ready_again"))
        known = reason
        if reason:
            return web.Response(text=f"not ready: {shown}\n", status=503)
        return web.Response(text="ready\n")

    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)


async def _problem(
    store: Store,
    inbox: GroupCommit | None,
    troubles: Troubles | None,
) -> tuple[str, str]:
    """Return why the process is not ready: publicly, and for the log; empty if it is ready."""
    if inbox and inbox.is_crowded:
        return (waiting := f"{inbox.waiting} events wait to be stored"), waiting
    try:
        async with asyncio.timeout(READY_TIMEOUT):
            await store.ping()
    except StoreError as error:
        return "the database can't be used", str(error) or type(error).__name__
    except TimeoutError:
        return (late := f"no answer from the database in {READY_TIMEOUT:g} s"), late
    if troubles and (problem := troubles.fails(What.DATABASE)):
        return "nothing can be stored", problem
    return "", ""


def add_metrics(
    app: web.Application,
    store: Store,
    clock: Clock,
    metrics: Metrics,
    token: str,
) -> None:
    """Add `/metrics`.

    Its cost is proportional to the open work: it counts along partial indexes. If the database
    does not answer, it shows only the process's metrics, and `switchboard_database_up` 0.

    Args:
        app: the application.
        store: the database to count in.
        clock: the clock for ages.
        metrics: the metrics of the process.
        token: the required Bearer token; empty allows anyone.
    """

    async def show(request: web.Request) -> web.Response:
        if token and not _carries(request, token):
            text = "send METRICS_TOKEN as `Authorization: Bearer`\n"
            return web.Response(text=text, status=401, headers={"WWW-Authenticate": "Bearer"})
        try:
            async with asyncio.timeout(READY_TIMEOUT):
                counts = await store.counts(clock.now())
        except (StoreError, TimeoutError):
            counts = None
        headers = {"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        return web.Response(body=metrics.show(counts), headers=headers)

    app.router.add_get("/metrics", show)


def add_no_metrics(app: web.Application) -> None:
    """Answer 404 at `/metrics`, with a hint how to enable it."""

    async def hint(_: web.Request) -> web.Response:
        return web.Response(text=_OFF, status=404)

    app.router.add_get("/metrics", hint)


def _carries(request: web.Request, token: str) -> bool:
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    is_same = hmac.compare_digest(given.strip().encode("utf-8", "replace"), token.encode())
    return scheme.lower() == "bearer" and is_same
