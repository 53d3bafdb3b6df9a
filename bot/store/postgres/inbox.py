"""The inbox on PostgreSQL: stores events, and sets them aside. Each function is one operation."""

from __future__ import annotations

from collections.abc import Sequence

from bot.store.codec import unicode
from bot.store.postgres.pool import Pool
from bot.store.postgres.schema import SCHEMA
from bot.store.rows import ERASED, names_removed, posted_row
from webhooks.inbox import NewEvent

# Numbered as they came, but stored in the order of their ids, so that two deliveries of the same events or messages
# don't wait for each other. A conflict: the same event, or the same message under another event id.
_RECEIVE = f"""
    INSERT INTO inbox (seq, id, conversation_id, type, body, received_at, said_id)
    SELECT seq, id, conversation_id, type, body, received_at, said_id FROM (
        SELECT nextval('{SCHEMA}.inbox_seq_seq') AS seq, posted.*
        FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::bigint[], $6::text[])
            AS posted (id, conversation_id, type, body, received_at, said_id)
    ) AS numbered ORDER BY coalesce(said_id, id), id, seq
    ON CONFLICT DO NOTHING
"""  # noqa: S608 - only constants

_SET_ASIDE = f"""
    UPDATE inbox AS i SET
        status = 'set_aside', reason = CASE WHEN looked.named THEN $3 ELSE $2 END,
        body = CASE WHEN looked.named THEN '' ELSE i.body END
    FROM (SELECT e.id, {names_removed("e.body")} AS named FROM inbox AS e WHERE e.id = $1) AS looked
    WHERE i.id = looked.id AND i.status = 'pending'
"""  # noqa: S608 - only constants


async def receive(pool: Pool, events: Sequence[NewEvent]) -> int:
    """Store events that are not known yet. Return how many were new. A single statement commits on its own."""
    columns = zip(*map(posted_row, events), strict=True)
    return await pool.execute(_RECEIVE, *map(list, columns))


async def set_aside(pool: Pool, event_id: str, reason: str) -> None:
    """Set an event aside, with the reason. Empty it if it contains the id of a removed person."""
    await pool.execute(_SET_ASIDE, unicode(event_id), unicode(reason), ERASED)
