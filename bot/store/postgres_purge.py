"""Retention on PostgreSQL: what is old goes, bit by bit, and nothing of it is searched for (see `sqlite_purge`).

What is left of it in the files is PostgreSQL's own matter: its vacuum gives the room to new rows, and its log and its
backups have their own times.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from typing import Any

from bot.store.codec import StateRow, load_conversation
from bot.store.postgres_pool import Connection, Pool
from bot.store.rows import named_events, without_parts
from bot.store.sqlite_purge import PUT_OFF, ROWS
from bot.store.times import to_micros

_KEPT = """
    SELECT id, state, holder, ended_at, released_at, updated_at FROM conversations
    WHERE kept_since < $1 ORDER BY kept_since LIMIT {limit:d} FOR UPDATE SKIP LOCKED
"""

_DELETE_EVENTS = f"""
    DELETE FROM inbox WHERE seq = ANY (ARRAY(
        SELECT looked.seq FROM unnest($1::text[], $2::text[]) AS kept (id, named)
        CROSS JOIN LATERAL (
            SELECT seq, id, status, received_at FROM inbox WHERE conversation_id = kept.id ORDER BY seq LIMIT {ROWS}
        ) AS looked
        WHERE looked.received_at < $3 AND looked.status <> 'pending'
            AND looked.id <> ALL (string_to_array(kept.named, E'\\n'))
    )) RETURNING conversation_id
"""  # noqa: S608 - only constants

_DELETE_EFFECTS = f"""
    DELETE FROM outbox WHERE seq = ANY (ARRAY(
        SELECT looked.seq FROM unnest($1::text[]) AS kept (id)
        CROSS JOIN LATERAL (
            SELECT seq, status, finished_at FROM outbox WHERE conversation_id = kept.id ORDER BY seq LIMIT {ROWS}
        ) AS looked
        WHERE looked.status = 'finished' AND looked.finished_at < $2
    )) RETURNING conversation_id
"""  # noqa: S608 - only constants

_DELETE_STEPS = f"""
    DELETE FROM journal AS step USING (
        SELECT looked.* FROM unnest($1::text[], $2::bigint[]) AS kept (id, run_id)
        CROSS JOIN LATERAL (
            SELECT conversation_id, run_id, idx, at FROM journal
            WHERE conversation_id = kept.id AND run_id IS DISTINCT FROM kept.run_id
            ORDER BY run_id, idx LIMIT {ROWS}
        ) AS looked
        WHERE looked.at < $3
    ) AS old
    WHERE step.conversation_id = old.conversation_id AND step.run_id = old.run_id AND step.idx = old.idx
    RETURNING step.conversation_id
"""  # noqa: S608 - only constants

_OLDEST = """
    SELECT kept.id, least(
        (SELECT received_at FROM inbox WHERE conversation_id = kept.id ORDER BY seq LIMIT 1),
        (SELECT created_at FROM outbox WHERE conversation_id = kept.id ORDER BY seq LIMIT 1),
        (
            SELECT at FROM journal WHERE conversation_id = kept.id AND run_id IS DISTINCT FROM kept.run_id
            ORDER BY run_id, idx LIMIT 1
        )
    ) FROM unnest($1::text[], $2::bigint[]) AS kept (id, run_id)
"""

_DELETE_CONVERSATIONS = f"""
    WITH over AS (
        DELETE FROM conversations
        WHERE id = ANY ($1) AND updated_at < $2 AND due_at IS NULL AND duty_since IS NULL AND lease_until IS NULL
        RETURNING id
    ), {without_parts("over")}
    SELECT id FROM over
"""  # noqa: S608 - only constants

_PUT_OFF = """
    UPDATE conversations AS c SET kept_since = given.since
    FROM unnest($1::text[], $2::bigint[]) AS given (id, since) WHERE c.id = given.id
"""

_DELETE_APP_EVENTS = """
    DELETE FROM inbox WHERE seq = ANY (ARRAY(
        SELECT seq FROM (
            SELECT seq, status, received_at FROM inbox WHERE conversation_id IS NULL ORDER BY seq LIMIT $1
        ) AS looked WHERE received_at < $2 AND status <> 'pending'
    ))
"""

_OLD_REMOVALS = "SELECT conversation_id FROM removed WHERE at < $1 ORDER BY at LIMIT $2 FOR UPDATE SKIP LOCKED"

_DELETE_ALL_EVENTS = f"""
    DELETE FROM inbox WHERE seq = ANY (ARRAY(
        SELECT looked.seq FROM unnest($1::text[]) AS gone (id)
        CROSS JOIN LATERAL (
            SELECT seq FROM inbox WHERE conversation_id = gone.id ORDER BY seq LIMIT {ROWS}
        ) AS looked
    )) RETURNING conversation_id
"""  # noqa: S608 - only constants

_DELETE_REMOVALS = "DELETE FROM removed WHERE conversation_id = ANY ($1)"

_DELETE_REMOVED_USERS = """
    DELETE FROM removed_users
    WHERE user_id = ANY (ARRAY(SELECT user_id FROM removed_users WHERE at < $1 ORDER BY at LIMIT $2))
"""

_DELETE_ACCESSES = """
    DELETE FROM audit WHERE seq IN (SELECT seq FROM audit ORDER BY seq LIMIT $2) AND at < $1
"""


async def purge(pool: Pool, before: datetime, limit: int) -> int:
    """Delete what is from before a time and needed by nothing; how many conversations, events, removals that were."""
    at = to_micros(before)
    conversations = await pool.transaction(lambda connection: _purge_conversations(connection, at, limit))
    app_events = await pool.execute(_DELETE_APP_EVENTS, limit, at)
    removals = await pool.transaction(lambda connection: _purge_removals(connection, at, limit))
    users = await pool.execute(_DELETE_REMOVED_USERS, at, limit)
    return conversations + app_events + removals + users + await pool.execute(_DELETE_ACCESSES, at, limit)


async def _purge_conversations(connection: Connection, before: int, limit: int) -> int:
    """Old events, effects and steps go; and all of it, once nothing is due in it and all has been quiet so long."""
    kept = [StateRow(*row) for row in await connection.fetch(_KEPT.format(limit=limit), before)]
    if not kept:
        return 0
    ids = [row.id for row in kept]
    states = [load_conversation(row) for row in kept]
    named = ["\n".join(named_events(state)) for state in states]
    runs = [state.run and state.run.id for state in states]
    events = _counted(await connection.fetch(_DELETE_EVENTS, ids, named, before))
    effects = _counted(await connection.fetch(_DELETE_EFFECTS, ids, before))
    steps = _counted(await connection.fetch(_DELETE_STEPS, ids, runs, before))
    left = {row[0]: row[1] for row in await connection.fetch(_OLDEST, ids, runs)}
    empty = [id_ for id_ in ids if left[id_] is None]
    over = {row[0] for row in await connection.fetch(_DELETE_CONVERSATIONS, empty, before)}
    put_off = before + PUT_OFF // timedelta(microseconds=1)
    stay = [id_ for id_ in ids if id_ not in over and max(events[id_], effects[id_], steps[id_]) < ROWS]
    await connection.fetch(_PUT_OFF, stay, [max(put_off, left[id_] or 0) for id_ in stay])
    return len(kept)


async def _purge_removals(connection: Connection, before: int, limit: int) -> int:
    """Of removed conversations, the ids of their events, and then that they were removed."""
    removals = [row[0] for row in await connection.fetch(_OLD_REMOVALS, before, limit)]
    events = _counted(await connection.fetch(_DELETE_ALL_EVENTS, removals))
    await connection.fetch(_DELETE_REMOVALS, [id_ for id_ in removals if events[id_] < ROWS])
    return len(removals)


def _counted(rows: list[Any]) -> Counter[str]:
    return Counter(row[0] for row in rows)
