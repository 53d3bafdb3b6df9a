"""After a pause in which webhooks may have been lost: read again, at a gentle pace, what others may have changed.

The platform gives a delivery up after five attempts in fifteen minutes. What the bot holds has its own times; what it
does not hold is watched at a slow interval anyway, and sooner after such a pause.
"""

from __future__ import annotations

from datetime import timedelta

from bot.engine.context import Context
from bot.signals import Level, Signal

PAUSE = timedelta(minutes=2)  # without any event: long enough for deliveries to have been tried in vain
LATELY = timedelta(minutes=10)  # a pause that ended by then counts: the first retries may come before the worker
SPACING = timedelta(milliseconds=200)  # five reads a second
RECENT = timedelta(days=7)
MOST = 10_000


async def reconcile_after_pause(context: Context) -> None:
    """Let recent conversations be read, if no event came in for a while until lately. Raises `StoreError`."""
    now = context.clock.now()
    pause = await context.store.longest_pause(now, now - LATELY)
    if pause < PAUSE:
        return
    looks = await context.store.look_again(since=now - RECENT, first=now + SPACING, spacing=SPACING, limit=MOST)
    if looks:
        fields = {"conversations": looks, "pause_seconds": pause.total_seconds()}
        context.observe(Signal("reconciling", Level.INFO, fields=fields))
