"""Which conversations are read again after a start or a pause, because webhooks may have been lost."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from bot.control.obligations import to_be_read
from bot.store.codec import StateRow, dump_conversation, load_conversation
from bot.store.times import micros_or_none, to_micros

NEWEST = "SELECT received_at FROM inbox ORDER BY seq DESC LIMIT 10000"

LEFT_TO_OTHERS = """
    SELECT id FROM conversations
    WHERE holder IN ('other', 'nobody') AND ended_at IS NULL AND duty_since IS NULL AND NOT gone AND updated_at >= ?
    ORDER BY updated_at DESC LIMIT ?
"""

UNHEARD = """
    SELECT id FROM conversations
    WHERE held_since IS NOT NULL AND ended_at IS NULL AND duty_since IS NULL AND NOT gone AND coalesce((
        SELECT received_at FROM inbox WHERE conversation_id = conversations.id ORDER BY seq DESC LIMIT 1
    ), 0) < ?
    ORDER BY held_since LIMIT ?
"""

_STATE = """
    SELECT id, state, holder, ended_at, released_at, updated_at FROM conversations WHERE id = ? AND lease_until IS NULL
"""

_WATCH = "UPDATE conversations SET state = :state, look_at = :look_at, due_at = :look_at WHERE id = :id"


def longest_pause(connection: sqlite3.Connection, now: datetime, lately: datetime) -> timedelta:
    """The longest time without a new event, among those that ended after `lately` or last until now."""
    return pause_between((row[0] for row in connection.execute(NEWEST)), now, lately)


def pause_between(times: Iterable[int], now: datetime, lately: datetime) -> timedelta:
    """The longest pause, from the times of events, the newest first."""
    later, since, longest = to_micros(now), to_micros(lately), 0
    for received_at in times:
        longest = max(longest, later - received_at)
        later = received_at
        if received_at < since:
            break
    return timedelta(microseconds=longest)


def left_to_others(connection: sqlite3.Connection, since: datetime, limit: int) -> list[str]:
    """Ids of open conversations that the bot does not hold and that have changed since then, the newest first."""
    return [row[0] for row in connection.execute(LEFT_TO_OTHERS, (to_micros(since), limit))]


def unheard(connection: sqlite3.Connection, since: datetime, limit: int) -> list[str]:
    """Ids of conversations that the bot holds and of which no event came in since then, the longest held first."""
    return [row[0] for row in connection.execute(UNHEARD, (to_micros(since), limit))]


def look_again(connection: sqlite3.Connection, ids: Sequence[str], first: datetime, spacing: timedelta) -> int:
    """Let each be read at a time of its own, one after the other; those that are at work now are passed over."""
    at, done = first, 0
    for conversation_id in ids:
        row = connection.execute(_STATE, (conversation_id,)).fetchone()
        if row is None:
            continue
        state = to_be_read(load_conversation(StateRow(*row)), at)
        values = {"state": dump_conversation(state), "look_at": micros_or_none(state.look_at), "id": conversation_id}
        connection.execute(_WATCH, values)
        done += 1
        at += spacing
    return done
