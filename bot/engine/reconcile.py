"""After a start: read, at a gentle pace, conversations of which webhooks may have been lost.

The platform gives a delivery up after five attempts in fifteen minutes, and at once after a 404. So what the bot holds
and has not heard of for a while is read after every start: the end may be all that was lost, however lively other
conversations were meanwhile. What others hold is watched at a slow interval anyway, and sooner after a pause in which
nothing came in at all.
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


async def reconcile_after_start(context: Context) -> None:
    """Let conversations be read that may have changed unheard. Raises `StoreError`."""
    now = context.clock.now()
    looks = await context.store.look_at_unheard(since=now - PAUSE, first=now + SPACING, spacing=SPACING, limit=MOST)
    pause = await context.store.longest_pause(now, now - LATELY)
    if pause >= PAUSE:
        first = now + (looks + 1) * SPACING
        looks += await context.store.look_again(since=now - RECENT, first=first, spacing=SPACING, limit=MOST)
    if looks:
        fields = {"conversations": looks, "pause_seconds": pause.total_seconds()}
        context.observe(Signal("reconciling", Level.INFO, fields=fields))
