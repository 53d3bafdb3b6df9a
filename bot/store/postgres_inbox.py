"""The inbox on PostgreSQL: events come in, are given to conversations, set aside. Each function is one operation."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from bot.store.codec import unicode
from bot.store.interface import StoredEvent
from bot.store.postgres_pool import Pool
from bot.store.rows import EVENT, event_of
from bot.store.times import to_micros
from webhooks.inbox import NewEvent

# Numbered as they came, but stored in the order of their ids: two that have the same ids don't wait for each other.
_RECEIVE = """
    INSERT INTO inbox (seq, id, conversation_id, type, body, received_at)
    SELECT seq, id, conversation_id, type, body, received_at FROM (
        SELECT nextval('inbox_seq_seq') AS seq, posted.*
        FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::bigint[])
            AS posted (id, conversation_id, type, body, received_at)
    ) AS numbered ORDER BY id, seq
    ON CONFLICT (id) DO NOTHING
"""

_APP_EVENTS = f"""
    SELECT {EVENT} FROM inbox WHERE status = 'pending' AND conversation_id IS NULL ORDER BY seq LIMIT $1
"""  # noqa: S608 - only constants

_SPREAD = """
    WITH copies AS (
        INSERT INTO inbox (id, conversation_id, type, body, received_at)
        SELECT $1::text || ':' || concerned, concerned, $2, $3, $4 FROM unnest($5::text[]) AS concerned ORDER BY 1
        ON CONFLICT (id) DO NOTHING
    )
    UPDATE inbox SET status = 'handled', handled_at = $6, body = '' WHERE id = $1 AND status = 'pending'
"""

_SET_ASIDE = "UPDATE inbox SET status = 'set_aside', reason = $2 WHERE id = $1 AND status = 'pending'"


async def receive(pool: Pool, events: Sequence[NewEvent]) -> int:
    """Store the events that are not known yet; how many were new. One statement, so it commits without us."""
    return await pool.execute(
        _RECEIVE,
        [unicode(event.id) for event in events],
        [None if event.conversation_id is None else unicode(event.conversation_id) for event in events],
        [unicode(event.type) for event in events],
        [event.body for event in events],
        [to_micros(event.received_at) for event in events],
    )


async def app_events(pool: Pool, limit: int) -> list[StoredEvent]:
    """Unhandled events that belong to no single conversation, oldest first."""
    return [event_of(tuple(row)) for row in await pool.fetch(_APP_EVENTS, limit)]


async def spread(pool: Pool, event: StoredEvent, conversation_ids: Sequence[str], now: datetime) -> None:
    """Give each of the conversations a copy, and keep of the event itself only its id: the body is in the copies."""
    concerned = [unicode(id_) for id_ in conversation_ids]
    received_at = to_micros(event.received_at)
    await pool.execute(_SPREAD, event.id, event.type, event.body, received_at, concerned, to_micros(now))


async def set_aside(pool: Pool, event_id: str, reason: str) -> None:
    """Set an event aside, with the reason."""
    await pool.execute(_SET_ASIDE, unicode(event_id), unicode(reason))
