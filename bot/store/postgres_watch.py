"""Which conversations are read again after a start or a pause, because webhooks may have been lost, on PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from bot.control.obligations import to_be_read
from bot.store.codec import StateRow, dump_conversation, load_conversation
from bot.store.postgres_pool import Pool
from bot.store.rows import numbered
from bot.store.sqlite_watch import LEFT_TO_OTHERS, NEWEST, UNHEARD, pause_between
from bot.store.times import micros_or_none, to_micros

_AT_ONCE = 200  # conversations in one statement

_LEFT_TO_OTHERS, _ = numbered(LEFT_TO_OTHERS)
_UNHEARD, _ = numbered(UNHEARD)

# Those that are at work now are passed over, and so is what changes meanwhile.
_STATES = """
    SELECT id, state, holder, ended_at, released_at, updated_at, epoch FROM conversations
    WHERE id = ANY ($1) AND lease_until IS NULL
"""

_WATCH = """
    UPDATE conversations AS c SET state = given.state, look_at = given.look_at, due_at = given.look_at
    FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[], $5::bigint[])
        AS given (id, epoch, updated_at, state, look_at)
    WHERE c.id = given.id AND c.epoch = given.epoch AND c.updated_at = given.updated_at AND c.lease_until IS NULL
"""


async def longest_pause(pool: Pool, now: datetime, lately: datetime) -> timedelta:
    """The longest time without a new event, among those that ended after `lately` or last until now."""
    return pause_between([row[0] for row in await pool.fetch(NEWEST)], now, lately)


async def left_to_others(pool: Pool, since: datetime, limit: int) -> list[str]:
    """Ids of open conversations that the bot does not hold and that have changed since then, the newest first."""
    return [row[0] for row in await pool.fetch(_LEFT_TO_OTHERS, to_micros(since), limit)]


async def unheard(pool: Pool, since: datetime, limit: int) -> list[str]:
    """Ids of conversations that the bot holds and of which no event came in since then, the longest held first."""
    return [row[0] for row in await pool.fetch(_UNHEARD, to_micros(since), limit)]


async def look_again(pool: Pool, ids: Sequence[str], first: datetime, spacing: timedelta) -> int:
    """Let each be read at a time of its own, one after the other."""
    done = 0
    for start in range(0, len(ids), _AT_ONCE):
        some = ids[start : start + _AT_ONCE]
        rows = {row["id"]: row for row in await pool.fetch(_STATES, some)}
        values: list[tuple[Any, ...]] = []
        for id_ in some:
            if row := rows.get(id_):
                at = first + (done + len(values)) * spacing
                state = to_be_read(load_conversation(StateRow(*row[:6])), at)
                due = micros_or_none(state.look_at)
                values.append((id_, row["epoch"], row["updated_at"], dump_conversation(state), due))
        if values:
            await pool.execute(_WATCH, *map(list, zip(*values, strict=True)))
        done += len(values)
    return done
