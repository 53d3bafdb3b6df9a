"""Schedules reads after a start or a pause, because webhooks may have been lost."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from bot.control.obligations import to_be_read
from bot.signals import Observe
from bot.store.asking import Asking, Each
from bot.store.codec import StateRow, dump_conversation, load_conversation
from bot.store.times import micros_or_none, to_micros

AT_ONCE = 200  # conversations in one transaction, so that intake does not wait for thousands

_NEWEST = "SELECT received_at FROM inbox ORDER BY seq DESC LIMIT 10000"

LEFT_TO_OTHERS = """
    SELECT id FROM conversations
    WHERE holder IN ('other', 'nobody') AND ended_at IS NULL AND duty_since IS NULL AND NOT gone AND updated_at >= ?
    ORDER BY updated_at DESC LIMIT ?
"""
"""Open conversations that the bot does not hold and that have changed since then, the newest first."""

UNHEARD = """
    SELECT id FROM conversations
    WHERE held_since IS NOT NULL AND ended_at IS NULL AND duty_since IS NULL AND NOT gone AND coalesce((
        SELECT received_at FROM inbox WHERE conversation_id = conversations.id ORDER BY seq DESC LIMIT 1
    ), 0) < ?
    ORDER BY held_since LIMIT ?
"""
"""Conversations that the bot holds and of which no event came in since then, the longest held first."""

# Those that are at work now are passed over, and so is what changes meanwhile.
_STATES = """
    SELECT id, state, holder, ended_at, released_at, updated_at, epoch FROM conversations
    WHERE id IN (SELECT value FROM json_each(?)) AND lease_until IS NULL
"""

_WATCH = """
    UPDATE conversations SET state = :state, look_at = :look_at, due_at = :look_at
    WHERE id = :id AND epoch = :epoch AND updated_at = :updated_at AND lease_until IS NULL
"""


def longest_pause(now: datetime, lately: datetime) -> Asking[timedelta]:
    """Return the longest pause between events, of those that ended after `lately` or still last."""
    return _pause_between((row[0] for row in (yield _NEWEST, ())), now, lately)


def _pause_between(times: Iterable[int], now: datetime, lately: datetime) -> timedelta:
    """Return the longest pause between events, from their times, newest first."""
    later, since, longest = to_micros(now), to_micros(lately), 0
    for received_at in times:
        longest = max(longest, later - received_at)
        later = received_at
        if received_at < since:
            break
    return timedelta(microseconds=longest)


def found(query: str, since: datetime, limit: int) -> Asking[list[str]]:
    """Return the ids of the conversations of `LEFT_TO_OTHERS` or `UNHEARD`."""
    return [row[0] for row in (yield query, (to_micros(since), limit))]


def look_again(ids: Sequence[str], first: datetime, spacing: timedelta, observe: Observe) -> Asking[int]:
    """Schedule a read of each, one after the other. Return how many."""
    rows = {row[0]: row for row in (yield _STATES, (list(ids),))}
    changes: list[dict[str, Any]] = []
    for id_ in ids:
        if row := rows.get(id_):
            state = to_be_read(load_conversation(StateRow(*row[:6]), observe), first + len(changes) * spacing)
            values = {"state": dump_conversation(state), "look_at": micros_or_none(state.look_at), "id": id_}
            changes.append(values | {"epoch": row[6], "updated_at": row[5]})
    if changes:
        yield _WATCH, Each(changes)
    return len(changes)
