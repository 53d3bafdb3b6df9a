"""What operators see of a SQLite database, and what they ask of it. Each function is one operation."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from bot.control.history import Moment
from bot.store import operator_queries as queries
from bot.store.operators import HISTORY_LIMIT, Access, Before, Listed, Listing, Page, RunAtWork, SetAside, Timeline
from bot.store.rows import moment_row
from bot.store.sqlite_inbox import ids_as_json
from bot.store.times import to_micros
from webhooks.inbox import NewEvent

_NOTE = """
    INSERT INTO history (conversation_id, n, at, kind, who, since, text)
    SELECT ?1, coalesce(max(n), 0) + 1, ?2, ?3, ?4, ?5, ?6 FROM history WHERE conversation_id = ?1
"""

_CONTACTS = queries.CONTACTS.format(ids="SELECT value FROM json_each(?)")

_TRIM = """
    DELETE FROM history WHERE conversation_id = :id
        AND n <= (SELECT max(n) FROM history WHERE conversation_id = :id) - :limit
"""


def conversations(connection: sqlite3.Connection, listing: Listing) -> Page:
    """A page of conversations."""
    query, values = queries.page_query(listing)
    page = queries.page_of(listing, connection.execute(query, values).fetchall())
    return replace(page, conversations=_with_contacts(connection, page.conversations))


def timeline(connection: sqlite3.Connection, conversation_id: str, limit: int, before: Before) -> Timeline | None:
    """A stretch of a conversation's timeline."""
    row = connection.execute(queries.ONE, (conversation_id,)).fetchone()
    if row is None:
        return None
    asked = queries.parts_of(conversation_id, limit, before)
    found = queries.timeline_of(row, [connection.execute(*one).fetchall() for one in asked], limit, before)
    return replace(found, listed=_with_contacts(connection, [found.listed])[0])


def _with_contacts(connection: sqlite3.Connection, found: Sequence[Listed]) -> list[Listed]:
    ids = ids_as_json(one.state.id for one in found)
    return queries.with_contacts(found, connection.execute(_CONTACTS, (ids,)).fetchall())


def runs_at_work(connection: sqlite3.Connection, limit: int, after: RunAtWork | None) -> list[RunAtWork]:
    """Conversations in which a flow is at work."""
    rows = connection.execute(queries.RUNS_AT_WORK, queries.place_of(after, limit)).fetchall()
    return [
        queries.run_at_work(row, connection.execute(queries.RUN_STEPS, queries.run_of(row)).fetchall()) for row in rows
    ]


def note(connection: sqlite3.Connection, conversation_id: str, moments: Sequence[Moment]) -> None:
    """Add to the history of a conversation, and drop what is too old in it."""
    connection.executemany(_NOTE, [(conversation_id, *moment_row(moment)) for moment in moments])
    connection.execute(_TRIM, {"id": conversation_id, "limit": HISTORY_LIMIT})


def set_aside_events(connection: sqlite3.Connection, limit: int, before: int | None) -> list[SetAside]:
    """Events that were set aside, the newest first."""
    rows = connection.execute(queries.SET_ASIDE, (queries.LAST if before is None else before, limit))
    return [queries.set_aside_of(row) for row in rows]


def retry(connection: sqlite3.Connection, event_id: str) -> NewEvent | None:
    """Let an event that was set aside be taken up again."""
    rows = connection.execute(queries.RETRY, (event_id,)).fetchall()
    return queries.new_event_of(rows[0]) if rows else None


def order(connection: sqlite3.Connection, asked: NewEvent) -> bool:
    """Store what an operator asks of a conversation that is known."""
    return connection.execute(queries.ORDER, queries.order_row(asked)).rowcount == 1


def is_ordered(connection: sqlite3.Connection, order_id: str) -> bool:
    """Tell whether an order is known."""
    return connection.execute(queries.ORDERED, (order_id,)).fetchone() is not None


def end_session(connection: sqlite3.Connection, session_id: str, until: datetime, now: datetime) -> None:
    """Remember that a session was signed out, and forget those that have ended by themselves."""
    connection.execute(queries.FORGET_SESSIONS, (to_micros(now),))
    connection.execute(queries.END_SESSION, (session_id, to_micros(until)))


def is_session_ended(connection: sqlite3.Connection, session_id: str) -> bool:
    """Tell whether a session was signed out."""
    return connection.execute(queries.ENDED_SESSION, (session_id,)).fetchone() is not None


def audit(connection: sqlite3.Connection, access: Access) -> None:
    """Add to the audit log."""
    connection.execute(queries.AUDIT, queries.access_row(access))


def probe(connection: sqlite3.Connection) -> None:
    """Write a row and remove it again."""
    (seq,) = connection.execute(queries.PROBE, queries.probe_row()).fetchone()
    connection.execute(queries.END_PROBE, (seq,))


def audit_log(connection: sqlite3.Connection, limit: int, conversation_id: str | None) -> list[Access]:
    """The newest entries of the audit log."""
    if conversation_id is None:
        rows = connection.execute(queries.AUDIT_LOG, (limit,))
    else:
        rows = connection.execute(queries.AUDIT_LOG_OF, (conversation_id, limit))
    return [queries.access_of(row) for row in rows]
