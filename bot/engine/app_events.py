"""Fans app-level events (`user:remove`, `user:merge`) out to the conversations they concern."""

from __future__ import annotations

import asyncio

from bot.engine.context import Context
from bot.signals import Level, Signal
from bot.store.interface import StoredEvent, Unavailable
from webhooks.events import (
    ABOUT_PEOPLE,
    REMOVAL,
    InvalidEventError,
    UserMerge,
    UserRemove,
    event_user_ids,
    parse_event,
)

BATCH = 100


async def spread_app_events(context: Context) -> tuple[set[str], bool]:
    """Fan waiting app-level events out to conversations.

    Removals come first, one after the other. Events that concern no conversation share
    a transaction.

    Returns:
        The conversations, and whether more such events may be waiting.

    Raises:
        Unavailable: the database is out of reach. An event that fails otherwise is set
            aside.
    """
    told: set[str] = set()
    of_nobody: list[StoredEvent] = []
    waiting = await context.store.app_events(BATCH)
    for stored in waiting:
        if stored.type in ABOUT_PEOPLE:
            told |= await _settle(context, stored)
        else:
            of_nobody.append(stored)
    settled = await asyncio.gather(
        *(_settle(context, stored) for stored in of_nobody),
        return_exceptions=True,
    )
    for problem in settled:
        if isinstance(problem, BaseException):
            raise problem
    # Removals are read alone, so other events may wait behind them.
    return told, len(waiting) == BATCH or any(stored.type == REMOVAL for stored in waiting)


async def _settle(context: Context, stored: StoredEvent) -> set[str]:
    """Fan one event out, or set it aside. Return the conversations.

    Raises:
        Unavailable: the database is out of reach.
    """
    try:
        return await _spread(context, stored)
    except Unavailable:
        raise
    except Exception as error:  # noqa: BLE001 - must not block other events
        reason = str(error) if isinstance(error, InvalidEventError) else f"internal error: {type(error).__name__}"
        await context.store.set_aside(stored.id, reason)
        context.observe(Signal("event_set_aside", Level.WARNING, fields={"reason": reason}))
        return set()


async def _spread(context: Context, stored: StoredEvent) -> set[str]:
    """Store one event for each conversation it concerns. Return the conversations."""
    event = parse_event(stored.body)
    concerned: set[str] = set()
    if isinstance(event, UserRemove):
        # Late and waiting events of this person must go as well. Remember the removal before
        # the look-up of conversations, so that a save in between erases by itself.
        await context.store.remember_removal(event.payload.user.id, context.clock.now())
    if isinstance(event, UserRemove | UserMerge):
        for user_id in sorted(event_user_ids(event)):
            concerned.update(await context.store.conversations_of(user_id))
    if isinstance(event, UserMerge) and (merged := event.payload.merged_conversations):
        concerned |= {merged.surviving.id, merged.discarded.id}
    await context.store.spread(stored, sorted(concerned), context.clock.now())
    return concerned
