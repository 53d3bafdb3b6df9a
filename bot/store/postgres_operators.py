"""What operators see of a PostgreSQL database, and what they ask of it. Each function is one operation."""

from __future__ import annotations

from typing import Any

from bot.store import operator_queries as queries
from bot.store.codec import unicode
from bot.store.operators import Access, Listing, Page, SetAside, Timeline
from bot.store.postgres_pool import Connection, Pool
from bot.store.rows import in_order, numbered
from webhooks.inbox import NewEvent


async def conversations(pool: Pool, listing: Listing) -> Page:
    """A page of conversations."""
    query, values = queries.page_query(listing)
    statement, names = numbered(query.replace(":limit", str(int(values["limit"]))))  # or no plan would count on it
    return queries.page_of(listing, await pool.fetch(statement, *in_order(names, values)))


async def timeline(pool: Pool, conversation_id: str, limit: int) -> Timeline | None:
    """All that is stored about a conversation."""
    id_ = unicode(conversation_id)

    async def read(connection: Connection) -> tuple[list[Any], list[list[Any]]]:
        rows = await connection.fetch(numbered(queries.ONE)[0], id_)
        parts = [await connection.fetch(numbered(query)[0], id_, limit + 1) for query in queries.PARTS if rows]
        return rows, parts

    rows, parts = await pool.run(read)
    return queries.timeline_of(rows[0], parts, limit) if rows else None


async def set_aside_events(pool: Pool, limit: int, before: int | None) -> list[SetAside]:
    """Events that were set aside, the newest first."""
    rows = await pool.fetch(numbered(queries.SET_ASIDE)[0], queries.LAST_SEQ if before is None else before, limit)
    return [queries.set_aside_of(row) for row in rows]


async def retry(pool: Pool, event_id: str) -> NewEvent | None:
    """Let an event that was set aside be taken up again."""
    rows = await pool.fetch(numbered(queries.RETRY)[0], unicode(event_id))
    return queries.new_event_of(rows[0]) if rows else None


async def order(pool: Pool, asked: NewEvent) -> bool:
    """Store what an operator asks of a conversation that is known."""
    return await pool.execute(numbered(queries.ORDER)[0], *queries.order_row(asked)) == 1


async def audit(pool: Pool, access: Access) -> None:
    """Add to the audit log."""
    await pool.execute(numbered(queries.AUDIT)[0], *queries.access_row(access))


async def audit_log(pool: Pool, limit: int, conversation_id: str | None) -> list[Access]:
    """The newest entries of the audit log."""
    if conversation_id is None:
        rows = await pool.fetch(queries.AUDIT_LOG.replace("?", str(int(limit))))
    else:
        rows = await pool.fetch(numbered(queries.AUDIT_LOG_OF)[0], unicode(conversation_id), limit)
    return [queries.access_of(row) for row in rows]
