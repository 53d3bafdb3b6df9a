"""Fans app-level events (`user:remove`, `user:merge`) out to the conversations that they concern."""

from __future__ import annotations

import asyncio

from bot.engine.context import Context
from bot.signals import Level, Signal
from bot.store.interface import StoredEvent, Unavailable
from webhooks.events import ABOUT_PEOPLE, REMOVAL, InvalidEvent, UserMerge, UserRemove, event_user_ids, parse_event

BATCH = 100


async def spread_app_events(context: Context) -> tuple[set[str], bool]:
    """Give every conversation that such an event concerns an event of its own.

    Removals come first, and one after the other; events that concern no conversation share a transaction.

    Returns:
        The conversations, and whether there may be more such events.

    Raises:
        Unavailable: the database is out of reach. What can't be spread for another reason is set aside.
    """
    told: set[str] = set()
    of_nobody: list[StoredEvent] = []
    waiting = await context.store.app_events(BATCH)
    for stored in waiting:
        if stored.type in ABOUT_PEOPLE:
            told |= await _settle(context, stored)
        else:
            of_nobody.append(stored)
    settled = await asyncio.gather(*(_settle(context, stored) for stored in of_nobody), return_exceptions=True)
    for problem in settled:
        if isinstance(problem, BaseException):
            raise problem
    # Removals come alone: other events may wait behind them.
    return told, len(waiting) == BATCH or any(stored.type == REMOVAL for stored in waiting)


async def _settle(context: Context, stored: StoredEvent) -> set[str]:
    """Give the event to those it concerns, or set it aside; return the conversations. Raises `Unavailable`."""
    try:
        return await _spread(context, stored)
    except Unavailable:
        raise
    except Exception as error:  # noqa: BLE001 - a poisonous event must not hold up the others
        reason = str(error) if isinstance(error, InvalidEvent) else f"internal error: {type(error).__name__}"
        await context.store.set_aside(stored.id, reason)
        context.observe(Signal("event_set_aside", Level.WARNING, fields={"reason": reason}))
        return set()


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
