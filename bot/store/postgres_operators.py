"""What operators see of a PostgreSQL database, and what they ask of it. Each function is one operation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from bot.store import operator_queries as queries
from bot.store.codec import unicode
from bot.store.operators import Access, Before, Listed, Listing, Page, RunAtWork, SetAside, Timeline
from bot.store.postgres_pool import Connection, Pool
from bot.store.rows import in_order, numbered
from bot.store.times import to_micros
from webhooks.inbox import NewEvent

_CONTACTS = queries.CONTACTS.format(ids="SELECT unnest($1::text[])")


async def conversations(pool: Pool, listing: Listing) -> Page:
    """A page of conversations."""
    query, values = queries.page_query(listing)
    statement, names = numbered(query.replace(":limit", str(int(values["limit"]))))  # or no plan would count on it
    page = queries.page_of(listing, await pool.fetch(statement, *in_order(names, values)))
    return replace(page, conversations=await _with_contacts(pool, page.conversations))


async def timeline(pool: Pool, conversation_id: str, limit: int, before: Before) -> Timeline | None:
    """A stretch of a conversation's timeline."""
    id_ = unicode(conversation_id)
    asked = queries.parts_of(id_, limit, before)

    async def read(connection: Connection) -> tuple[list[Any], list[list[Any]]]:
        rows = await connection.fetch(numbered(queries.ONE)[0], id_)
        parts = [await connection.fetch(numbered(query)[0], *values) for query, values in asked if rows]
        return rows, parts

    rows, parts = await pool.run(read)
    if not rows:
        return None
    found = queries.timeline_of(rows[0], parts, limit, before)
    return replace(found, listed=(await _with_contacts(pool, [found.listed]))[0])


async def _with_contacts(pool: Pool, found: Sequence[Listed]) -> list[Listed]:
    return queries.with_contacts(found, await pool.fetch(_CONTACTS, [one.state.id for one in found]))


async def runs_at_work(pool: Pool, limit: int, after: RunAtWork | None) -> list[RunAtWork]:
    """Conversations in which a flow is at work."""
    values = queries.place_of(after and replace(after, flow=unicode(after.flow)), limit)
    statement, names = numbered(queries.RUNS_AT_WORK.replace(":limit", str(int(limit))))

    async def read(connection: Connection) -> list[RunAtWork]:
        rows = await connection.fetch(statement, *in_order(names, values))
        steps = numbered(queries.RUN_STEPS)[0]
        return [queries.run_at_work(row, await connection.fetch(steps, *queries.run_of(row))) for row in rows]

    return await pool.run(read)


async def set_aside_events(pool: Pool, limit: int, before: int | None) -> list[SetAside]:
    """Events that were set aside, the newest first."""
    rows = await pool.fetch(numbered(queries.SET_ASIDE)[0], queries.LAST if before is None else before, limit)
    return [queries.set_aside_of(row) for row in rows]


async def retry(pool: Pool, event_id: str) -> NewEvent | None:
    """Let an event that was set aside be taken up again."""
    rows = await pool.fetch(numbered(queries.RETRY)[0], unicode(event_id))
    return queries.new_event_of(rows[0]) if rows else None


async def order(pool: Pool, asked: NewEvent) -> bool:
    """Store what an operator asks of a conversation that is known."""
    return await pool.execute(numbered(queries.ORDER)[0], *queries.order_row(asked)) == 1


async def is_ordered(pool: Pool, order_id: str) -> bool:
    """Tell whether an order is known."""
    return bool(await pool.fetch(numbered(queries.ORDERED)[0], order_id))


async def end_session(pool: Pool, session_id: str, until: datetime, now: datetime) -> None:
    """Remember that a session was signed out, and forget those that have ended by themselves."""
    await pool.execute(numbered(queries.FORGET_SESSIONS)[0], to_micros(now))
    await pool.execute(numbered(queries.END_SESSION)[0], session_id, to_micros(until))


async def is_session_ended(pool: Pool, session_id: str) -> bool:
    """Tell whether a session was signed out."""
    return bool(await pool.fetch(numbered(queries.ENDED_SESSION)[0], session_id))


async def audit(pool: Pool, access: Access) -> None:
    """Add to the audit log."""
    await pool.execute(numbered(queries.AUDIT)[0], *queries.access_row(access))


async def probe(pool: Pool) -> None:
    """Write a row and remove it again."""

    async def write(connection: Connection) -> None:
        seq = await connection.fetchval(numbered(queries.PROBE)[0], *queries.probe_row())
        await connection.execute(numbered(queries.END_PROBE)[0], seq)

    await pool.transaction(write)


async def audit_log(pool: Pool, limit: int, conversation_id: str | None) -> list[Access]:
    """The newest entries of the audit log."""
    if conversation_id is None:
        rows = await pool.fetch(queries.AUDIT_LOG.replace("?", str(int(limit))))
    else:
        rows = await pool.fetch(numbered(queries.AUDIT_LOG_OF)[0], unicode(conversation_id), limit)
    return [queries.access_of(row) for row in rows]
