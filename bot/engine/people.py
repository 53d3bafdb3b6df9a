"""Events that belong to no single conversation: a person is removed, two become one. Each conversation gets its own."""

from __future__ import annotations

from bot.engine.context import Context
from bot.signals import Level, Signal
from bot.store.interface import StoredEvent, Unavailable
from webhooks.events import InvalidEvent, UserMerge, UserRemove, event_user_ids, parse_event

BATCH = 100


async def spread_app_events(context: Context) -> tuple[set[str], bool]:
    """Give every conversation that such an event concerns an event of its own.

    Returns:
        The conversations, and whether there may be more such events.

    Raises:
        Unavailable: the database is out of reach. What can't be spread for another reason is set aside.
    """
    told: set[str] = set()
    waiting = await context.store.app_events(BATCH)
    for stored in waiting:
        try:
            told |= await _spread(context, stored)
        except Unavailable:
            raise
        except Exception as error:  # noqa: BLE001 - a poisonous event must not hold up the others
            reason = str(error) if isinstance(error, InvalidEvent) else f"internal error: {type(error).__name__}"
            await context.store.set_aside(stored.id, reason)
            context.observe(Signal("event_set_aside", Level.WARNING, fields={"reason": reason}))
    return told, len(waiting) == BATCH


async def _spread(context: Context, stored: StoredEvent) -> set[str]:
    event = parse_event(stored.body)
    concerned: set[str] = set()
    if isinstance(event, UserRemove):
        # What of this person comes late, or waits already, is to go as well. Remembered before the look at where they
        # were seen: a save in between erases by itself.
        await context.store.remember_removal(event.payload.user.id, context.clock.now())
    if isinstance(event, UserRemove | UserMerge):
        for user_id in sorted(event_user_ids(event)):
            concerned.update(await context.store.conversations_of(user_id))
    if isinstance(event, UserMerge) and (merged := event.payload.merged_conversations):
        concerned |= {merged.surviving.id, merged.discarded.id}
    await context.store.spread(stored, sorted(concerned), context.clock.now())
    return concerned
