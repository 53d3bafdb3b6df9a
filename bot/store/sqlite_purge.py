"""Retention on SQLite: what is old goes, bit by bit, and nothing of it is searched for.

`conversations.kept_since` is when the oldest of what is kept about a conversation came, or later where a look at it was
put off. So the conversations to look at are the first ones of an index, whatever the size of the database.
"""

from __future__ import annotations

import sqlite3
from datetime import datetime, timedelta

from bot.store.codec import StateRow, load_conversation
from bot.store.rows import named_events
from bot.store.sqlite_inbox import ids_as_json
from bot.store.times import to_micros

ROWS = 500
"""So many rows of a table are looked at in one go for each conversation; the next go has the others."""

PUT_OFF = timedelta(days=1)
"""When a conversation of which something must stay is looked at again."""

_KEPT = """
    SELECT id, state, holder, ended_at, released_at, updated_at FROM conversations
    WHERE kept_since < ? ORDER BY kept_since LIMIT ?
"""

_DELETE_EVENTS = """
    DELETE FROM inbox WHERE seq IN (
        SELECT seq FROM (
            SELECT seq, id, status, received_at FROM inbox WHERE conversation_id = :id ORDER BY seq LIMIT :rows
        ) WHERE received_at < :before AND status <> 'pending' AND id NOT IN (SELECT value FROM json_each(:named))
    )
"""

_DELETE_EFFECTS = """
    DELETE FROM outbox WHERE seq IN (
        SELECT seq FROM (
            SELECT seq, status, finished_at FROM outbox WHERE conversation_id = :id ORDER BY seq LIMIT :rows
        ) WHERE status = 'finished' AND finished_at < :before
    )
"""

_DELETE_STEPS = """
    DELETE FROM journal WHERE conversation_id = :id AND (run_id, idx) IN (
        SELECT run_id, idx FROM (
            SELECT run_id, idx, at FROM journal
            WHERE conversation_id = :id AND run_id IS NOT :run ORDER BY run_id, idx LIMIT :rows
        ) WHERE at < :before
    )
"""

_OLDEST_STEP = "SELECT at FROM journal WHERE conversation_id = ? AND run_id IS NOT ? ORDER BY run_id, idx LIMIT 1"

_OLDEST_EVENT = "SELECT received_at FROM inbox WHERE conversation_id = ? ORDER BY seq LIMIT 1"

_OLDEST_EFFECT = "SELECT created_at FROM outbox WHERE conversation_id = ? ORDER BY seq LIMIT 1"

_DELETE_CONVERSATION = """
    DELETE FROM conversations
    WHERE id = ? AND updated_at < ? AND due_at IS NULL AND duty_since IS NULL AND lease_until IS NULL
"""

_DELETE_REST = (
    "DELETE FROM journal WHERE conversation_id = ?",
    "DELETE FROM duties WHERE conversation_id = ?",
    "DELETE FROM history WHERE conversation_id = ?",
    "DELETE FROM participants WHERE conversation_id = ?",
    "DELETE FROM contacts WHERE conversation_id = ?",
)

_KEPT_SINCE = "UPDATE conversations SET kept_since = ? WHERE id = ?"

_DELETE_APP_EVENTS = """
    DELETE FROM inbox WHERE seq IN (
        SELECT seq FROM (
            SELECT seq, status, received_at FROM inbox WHERE conversation_id IS NULL ORDER BY seq LIMIT ?
        ) WHERE received_at < ? AND status <> 'pending'
    )
"""

_OLD_REMOVALS = "SELECT conversation_id FROM removed WHERE at < ? ORDER BY at LIMIT ?"

_DELETE_ALL_EVENTS = """
    DELETE FROM inbox WHERE seq IN (SELECT seq FROM inbox WHERE conversation_id = ? ORDER BY seq LIMIT ?)
"""

_DELETE_REMOVAL = "DELETE FROM removed WHERE conversation_id = ?"

_DELETE_REMOVED_USERS = """
    DELETE FROM removed_users WHERE user_id IN (SELECT user_id FROM removed_users WHERE at < ? ORDER BY at LIMIT ?)
"""

_DELETE_ACCESSES = """
    DELETE FROM audit WHERE seq IN (SELECT seq FROM audit WHERE seq > 0 ORDER BY seq LIMIT ?) AND at < ?
"""


def purge(connection: sqlite3.Connection, before: datetime, limit: int) -> int:
    """Delete what is from before a time and needed by nothing; how many conversations, events, removals that were."""
    at = to_micros(before)
    kept = connection.execute(_KEPT, (at, limit)).fetchall()
    for row in kept:
        _purge_conversation(connection, StateRow(*row), at)
    app_events = connection.execute(_DELETE_APP_EVENTS, (limit, at)).rowcount
    removals = [row[0] for row in connection.execute(_OLD_REMOVALS, (at, limit))]
    for conversation_id in removals:
        _purge_removal(connection, conversation_id)
    users = connection.execute(_DELETE_REMOVED_USERS, (at, limit)).rowcount
    accesses = connection.execute(_DELETE_ACCESSES, (limit, at)).rowcount
    return len(kept) + app_events + len(removals) + users + accesses


def _purge_conversation(connection: sqlite3.Connection, row: StateRow, before: int) -> None:
    """Its old events, effects and steps go; and all of it, once nothing is due in it and all has been quiet so long."""
    state = load_conversation(row)
    run = state.run and state.run.id
    old = {"id": row.id, "rows": ROWS, "before": before, "named": ids_as_json(named_events(state)), "run": run}
    deleted = [connection.execute(query, old).rowcount for query in (_DELETE_EVENTS, _DELETE_EFFECTS, _DELETE_STEPS)]
    more = ROWS in deleted
    oldest = [connection.execute(query, (row.id,)).fetchone() for query in (_OLDEST_EVENT, _OLDEST_EFFECT)]
    oldest.append(connection.execute(_OLDEST_STEP, (row.id, run)).fetchone())
    left = [found[0] for found in oldest if found is not None]
    if not left and connection.execute(_DELETE_CONVERSATION, (row.id, before)).rowcount:
        for statement in _DELETE_REST:
            connection.execute(statement, (row.id,))
    elif not more:
        put_off = before + PUT_OFF // timedelta(microseconds=1)
        connection.execute(_KEPT_SINCE, (max(put_off, min(left, default=0)), row.id))


def _purge_removal(connection: sqlite3.Connection, conversation_id: str) -> None:
    """Of a removed conversation, the ids of its events, and then that it was removed."""
    if connection.execute(_DELETE_ALL_EVENTS, (conversation_id, ROWS)).rowcount < ROWS:
        connection.execute(_DELETE_REMOVAL, (conversation_id,))
