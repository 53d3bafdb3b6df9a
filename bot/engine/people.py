"""Events that belong to no single conversation: a person is removed, two become one. Each conversation gets its own."""

from __future__ import annotations

from bot.engine.context import Context
from bot.signals import Level, Signal
from webhooks.events import InvalidEvent, UserMerge, UserRemove, event_user_ids, parse_event

BATCH = 100


async def spread_app_events(context: Context) -> set[str]:
    """Give every conversation that such an event concerns an event of its own, and say which. Raises `StoreError`."""
    told: set[str] = set()
    for stored in await context.store.app_events(BATCH):
        try:
            event = parse_event(stored.body)
        except InvalidEvent as error:
            await context.store.set_aside(stored.id, str(error))
            context.observe(Signal("event_set_aside", Level.WARNING, fields={"reason": str(error)}))
            continue
        concerned: set[str] = set()
        if isinstance(event, UserRemove | UserMerge):
            for user_id in sorted(event_user_ids(event)):
                concerned.update(await context.store.conversations_of(user_id))
        if isinstance(event, UserMerge) and (merged := event.payload.merged_conversations):
            concerned |= {merged.surviving.id, merged.discarded.id}
        await context.store.spread(stored, sorted(concerned), context.clock.now())
        told |= concerned
    return told
