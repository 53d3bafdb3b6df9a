"""After a start, schedules slow reads of conversations that may have lost webhooks.

The platform gives up a delivery after five attempts in fifteen minutes, and at once
after a 404. So every conversation that the bot holds and has not heard of for a while
is read after every start: its end may be the only lost event, however active others
were. Conversations held by others are watched slowly anyway, and sooner after a pause
without any event.
"""

from __future__ import annotations

from datetime import timedelta

from bot.engine.context import Context
from bot.signals import Level, Signal

# A time without events in which the platform may have tried deliveries in vain.
PAUSE = timedelta(minutes=2)
# A pause that ended this recently counts, as retries may arrive before the worker.
LATELY = timedelta(minutes=10)
SPACING = timedelta(milliseconds=200)  # five reads a second
RECENT = timedelta(days=7)
MOST = 10_000


async def reconcile_after_start(context: Context) -> None:
    """Schedule reads of conversations that may have changed unheard. Raises `StoreError`."""
    now = context.clock.now()
    looks = await context.store.look_at_unheard(
        since=now - PAUSE,
        first=now + SPACING,
        spacing=SPACING,
        limit=MOST,
    )
    pause = await context.store.longest_pause(now, now - LATELY)
    if pause >= PAUSE:
        first = now + (looks + 1) * SPACING
        looks += await context.store.look_again(
            since=now - RECENT,
            first=first,
            spacing=SPACING,
            limit=MOST,
        )
    if looks:
        fields = {"conversations": looks, "pause_seconds": pause.total_seconds()}
        context.observe(Signal("reconciling", Level.INFO, fields=fields))
