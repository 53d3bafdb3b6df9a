"""Saves steps of turns to PostgreSQL: many in one statement, each all or nothing.

Each change is fenced by the epoch of its lease: what a lease that is over would write is left out, and nothing else.
The number of statements does not depend on the number of changes, and the statement is its own transaction: it commits
or not without us, and a process that stands still in the middle keeps nothing locked.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from bot.store.codec import unicode
from bot.store.interface import Change, Lease, StoreError
from bot.store.operators import HISTORY_LIMIT
from bot.store.postgres.connection import Connection
from bot.store.postgres.errors import is_of_one
from bot.store.postgres.pool import Pool
from bot.store.rows import (
    ERASED,
    columns_of,
    contact_rows,
    duty_row,
    effect_rows,
    has_failed,
    journal_row,
    lost,
    moment_row,
    names_removed,
    without_parts,
)
from bot.store.times import to_micros


@dataclass(frozen=True, slots=True)
class Saving:
    """The input of `save`."""

    lease: Lease
    change: Change
    now: datetime


@dataclass(frozen=True, slots=True)
class _Table:
    """Rows that go into the statement as one array per column: their name there, and the typed columns."""

    name: str
    columns: tuple[tuple[str, str], ...]


def _table(name: str, columns: str) -> _Table:
    return _Table(name, tuple((each.split()[0], each.split()[1]) for each in columns.split(", ")))


_TABLES = (
    _table(
        "given",
        "id text, epoch bigint, now bigint, release boolean, holder text, ended_at bigint, released_at bigint, "
        "gone boolean, mismatch boolean, duty_id bigint, duty_since bigint, run_id bigint, look_at bigint, state text, "
        "failed_at bigint, flow text, flow_version bigint, unsent bigint",
    ),
    _table("heard", "id text, event_id text, reason text"),  # handled, or set aside where there is a reason
    _table(
        "added",
        "id text, place bigint, effect_id text, kind text, body text, created_at bigint, attempts bigint, outcome text",
    ),
    _table("done", "id text, effect_id text, attempts bigint, outcome text"),
    _table("noted", "id text, run_id bigint, idx bigint, kind text, key text, data text, at bigint"),
    _table(
        "owed",
        "id text, duty_id bigint, action text, target text, reason text, since bigint, attempts bigint, "
        "next_attempt bigint, stage text, last_answer text, body text, closed_at bigint, proof text",
    ),
    _table("moments", "id text, place bigint, at bigint, kind text, who text, since bigint, words text"),
    _table("seen", "id text, user_id text"),
    _table("known", "id text, kind text, term text, shown text"),
)


def _given() -> str:
    """Each table as a query on its parameters."""
    parts, place = [], 0
    for table in _TABLES:
        arrays = ", ".join(f"${place + n}::{type_}[]" for n, (_, type_) in enumerate(table.columns, 1))
        names = ", ".join(name for name, _ in table.columns)
        rows = f"SELECT * FROM unnest({arrays}) AS {table.name} ({names})"  # noqa: S608 - only constants
        parts.append(f"{table.name} AS MATERIALIZED ({rows})")
        place += len(table.columns)
    return ", ".join(parts)


_NAMES_REMOVED = f"heard.reason IS NOT NULL AND {names_removed('i.body')}"

# What this statement writes it does not see itself, so that what is changed here is put together.
_SAVE = f"""
    WITH {_given()}, erased AS MATERIALIZED (
        SELECT DISTINCT seen.id FROM seen JOIN removed_users ON removed_users.user_id = seen.user_id
    ), stored AS MATERIALIZED (
        SELECT given.*, c.duty_id AS old_duty_id
        FROM given JOIN conversations AS c ON c.id = given.id AND c.epoch = given.epoch
        WHERE given.id NOT IN (SELECT id FROM erased)
    ), saved AS (
        UPDATE conversations AS c SET
            holder = s.holder, ended_at = s.ended_at, released_at = s.released_at, gone = s.gone,
            mismatch = s.mismatch, duty_id = s.duty_id, duty_since = s.duty_since, run_id = s.run_id,
            flow = s.flow, flow_version = s.flow_version,
            look_at = s.look_at, due_at = s.look_at, unsent = s.unsent, updated_at = s.now, state = s.state,
            held_since = CASE WHEN s.holder = 'bot' THEN coalesce(c.held_since, s.now) END,
            mismatch_at = CASE WHEN s.mismatch THEN coalesce(c.mismatch_at, s.now) END,
            failed_at = coalesce(s.failed_at, c.failed_at),
            epoch = c.epoch + s.release::int,
            lease_owner = CASE WHEN s.release THEN NULL ELSE c.lease_owner END,
            lease_until = CASE WHEN s.release THEN NULL ELSE c.lease_until END
        FROM stored AS s
        WHERE c.id = s.id AND c.epoch = s.epoch
        RETURNING s.id, s.now, s.old_duty_id
    ), events AS (
        UPDATE inbox AS i SET
            status = CASE WHEN heard.reason IS NULL THEN 'handled' ELSE 'set_aside' END,
            handled_at = CASE WHEN heard.reason IS NULL THEN saved.now ELSE i.handled_at END,
            reason = CASE WHEN {_NAMES_REMOVED} THEN '{ERASED}' ELSE coalesce(heard.reason, i.reason) END,
            body = CASE WHEN {_NAMES_REMOVED} THEN '' ELSE i.body END
        FROM saved JOIN heard ON heard.id = saved.id
        WHERE i.id = heard.event_id AND i.conversation_id = saved.id AND i.status = 'pending'
    ), new_effects AS (
        INSERT INTO outbox
            (effect_id, conversation_id, kind, body, created_at, attempts, status, outcome, finished_at)
        SELECT effect_id, saved.id, kind, body, created_at, attempts,
            CASE WHEN outcome IS NULL THEN 'open' ELSE 'finished' END, outcome,
            CASE WHEN outcome IS NOT NULL THEN saved.now END
        FROM saved JOIN added ON added.id = saved.id ORDER BY place
    ), old_effects AS (
        UPDATE outbox AS o SET
            status = 'finished', attempts = done.attempts, outcome = done.outcome, finished_at = saved.now
        FROM saved JOIN done ON done.id = saved.id
        WHERE o.effect_id = done.effect_id AND o.conversation_id = saved.id AND o.status = 'open'
    ), notes AS (
        INSERT INTO journal (conversation_id, run_id, idx, kind, key, data, at)
        SELECT saved.id, noted.run_id, idx, kind, key, data, noted.at FROM saved JOIN noted ON noted.id = saved.id
    ), duties_now AS (
        INSERT INTO duties (
            conversation_id, duty_id, action, target, reason, since, attempts, next_attempt, stage, last_answer, body,
            closed_at, proof
        )
        SELECT saved.id, duty_id, action, target, reason, since, attempts, next_attempt, stage, last_answer, body,
            closed_at, proof
        FROM saved JOIN owed ON owed.id = saved.id
        ON CONFLICT (conversation_id, duty_id) DO UPDATE SET
            attempts = excluded.attempts, next_attempt = excluded.next_attempt, stage = excluded.stage,
            last_answer = excluded.last_answer, body = excluded.body, closed_at = excluded.closed_at,
            proof = excluded.proof
    ), duties_gone AS (
        UPDATE duties AS d SET closed_at = saved.now, proof = 'not owed any more; no reason was recorded'
        FROM saved WHERE d.conversation_id = saved.id AND d.duty_id = saved.old_duty_id AND d.closed_at IS NULL
            AND NOT EXISTS (SELECT FROM owed WHERE owed.id = saved.id AND owed.duty_id = saved.old_duty_id)
    ), newest AS MATERIALIZED (
        SELECT counted.id, new, coalesce((SELECT max(n) FROM history WHERE conversation_id = counted.id), 0) AS old
        FROM (SELECT saved.id, count(*) AS new FROM saved JOIN moments ON moments.id = saved.id GROUP BY 1) AS counted
    ), history_now AS (
        INSERT INTO history (conversation_id, n, at, kind, who, since, text)
        SELECT newest.id, newest.old + place, at, kind, who, since, words
        FROM newest JOIN moments ON moments.id = newest.id
    ), history_gone AS (
        DELETE FROM history USING newest
        WHERE conversation_id = newest.id AND n <= newest.old + newest.new - {HISTORY_LIMIT}
    ), people AS (
        INSERT INTO participants (conversation_id, user_id)
        SELECT saved.id, user_id FROM saved JOIN seen ON seen.id = saved.id ORDER BY 1, 2 ON CONFLICT DO NOTHING
    ), found_by AS (
        INSERT INTO contacts AS c (conversation_id, kind, term, shown, at)
        SELECT saved.id, kind, term, shown, saved.now FROM saved JOIN known ON known.id = saved.id ORDER BY 1, 2, 3
        ON CONFLICT (conversation_id, kind, term) DO UPDATE SET
            shown = coalesce(excluded.shown, c.shown), at = excluded.at
    )
    SELECT id, 'saved' AS how FROM saved UNION ALL SELECT id, 'erased' FROM erased
"""  # noqa: S608 - only constants

# All but the ids of events, by which a late retry is known; and a tombstone for what comes when all is over. The
# conversation's own row stays where it begins anew.
_FORGET = f"""
    WITH fenced AS MATERIALIZED (
        SELECT id FROM conversations WHERE id = $1 AND epoch = $2 FOR UPDATE
    ), itself AS (
        DELETE FROM conversations USING fenced WHERE conversations.id = fenced.id AND $4
    ), effects AS (
        DELETE FROM outbox USING fenced WHERE conversation_id = fenced.id
    ), {without_parts("fenced")}, events AS (
        UPDATE inbox SET status = 'handled', handled_at = coalesce(handled_at, $3), reason = NULL, body = ''
        FROM fenced WHERE conversation_id = fenced.id AND ($4 OR status <> 'pending' OR inbox.id = ANY ($5::text[]))
    ), tombstone AS (
        INSERT INTO removed (conversation_id, at) SELECT id, $3 FROM fenced WHERE $4 ON CONFLICT DO NOTHING
    )
    SELECT id FROM fenced
"""  # noqa: S608 - only constants

# No save is under way then that does not see it, and that those who look for what was saved don't find yet. Who only
# reads, like a backup, is in nobody's way.
_ALONE = "LOCK TABLE participants IN SHARE MODE"

_ERASE_SET_ASIDE = """
    UPDATE inbox SET reason = $2, body = ''
    WHERE status = 'set_aside' AND position(convert_to(to_json($1::text)::text, 'UTF8') IN body) > 0
"""

_REMEMBER_USER = "INSERT INTO removed_users (user_id, at) VALUES ($1, $2) ON CONFLICT DO NOTHING"


async def save(pool: Pool, savings: Sequence[Saving]) -> list[Exception | None]:
    """Write the changes of different conversations. Return for each None, `LeaseLost`, or the error of its erasure.

    Raises:
        Unavailable: none of it is known to have happened, and all of it may have.
        StoreError: the database refuses one of them, and none has happened (`is_of_one`).
    """
    kept = [saving for saving in savings if not saving.change.forget]
    rows = await pool.fetch(_SAVE, *_values(kept)) if kept else []
    how = {row["id"]: row["how"] for row in rows}
    return [await _outcome(pool, saving, how.get(saving.lease.conversation_id)) for saving in savings]


async def _outcome(pool: Pool, saving: Saving, how: str | None) -> Exception | None:
    """Return the outcome of a change. First erase what is to be forgotten, or names a removed person."""
    change = saving.change
    if not change.forget and how != "erased":
        return None if how == "saved" else lost(saving.lease)
    if not change.forget:
        change = replace(change, forget=True, state=change.state.begun_anew(saving.now))
    try:
        error = await _forget(pool, replace(saving, change=change))
    except StoreError as failure:  # the others are saved
        return failure
    return error or (None if saving.change.forget or saving.change.release else lost(saving.lease))


async def _forget(pool: Pool, saving: Saving) -> Exception | None:
    """Erase a conversation. It begins anew unless it is gone."""
    change, lease = saving.change, saving.lease
    taken = [*change.handled, *(event_id for event_id, _ in change.set_aside)]
    begun = replace(saving, change=Change(change.state, release=True))

    async def erase(connection: Connection) -> bool:
        at = to_micros(saving.now)
        erased = await connection.fetch(_FORGET, lease.conversation_id, lease.epoch, at, change.state.gone, taken)
        if erased and not change.state.gone:
            await connection.fetch(_SAVE, *_values([begun]))
        return bool(erased)

    return None if await pool.transaction(erase) else lost(lease)


async def remember_removal(pool: Pool, user_id: str, now: datetime) -> None:
    """Remember a removed person by id only, and empty the set-aside events that contain the id."""

    async def remember(connection: Connection) -> None:
        await connection.execute(_ALONE)
        await connection.execute(_REMEMBER_USER, unicode(user_id), to_micros(now))

    try:
        await pool.transaction(remember)
    except StoreError as error:
        if not is_of_one(error):
            raise
        # A transaction that was left open keeps the table. Nothing else is to wait for it: not this, and no release.
        await pool.execute(_REMEMBER_USER, unicode(user_id), to_micros(now))
    await pool.execute(_ERASE_SET_ASIDE, unicode(user_id), ERASED)


def _values(savings: Sequence[Saving]) -> list[list[Any]]:
    """Return the statement's parameters: the columns of all its tables."""
    rows: list[list[tuple[Any, ...]]] = [[] for _ in _TABLES]
    for saving in savings:
        for table, more in zip(rows, _rows(saving), strict=True):
            table += more
    return [
        [row[place] for row in table_rows]
        for table, table_rows in zip(_TABLES, rows, strict=True)
        for place in range(len(table.columns))
    ]


def _rows(saving: Saving) -> tuple[Iterable[tuple[Any, ...]], ...]:
    """Return the rows that one change adds to each table."""
    change, id_ = saving.change, saving.lease.conversation_id
    columns = columns_of(change.state)
    now = to_micros(saving.now)
    fixed: dict[str, Any] = {"epoch": saving.lease.epoch, "now": now, "release": change.release}
    fixed["failed_at"] = now if has_failed(change) else None
    added, done = effect_rows(change, saving.now)
    heard: dict[str, tuple[Any, ...]] = {event_id: (id_, event_id, None) for event_id in change.handled}
    for event_id, reason in change.set_aside:
        heard.setdefault(event_id, (id_, event_id, unicode(reason)))
    return (
        [tuple((columns | fixed)[name] for name, _ in _TABLES[0].columns)],
        heard.values(),
        [(id_, place, *row) for place, row in enumerate(added)],
        [(id_, *row) for row in done],
        [journal_row(id_, entry) for entry in change.journal],
        _duties(change),
        [(id_, place, *moment_row(moment)) for place, moment in enumerate(change.history, 1)],
        [(id_, unicode(user)) for user in sorted(change.users)],
        [(id_, *row) for row in contact_rows(change)],
    )


def _duties(change: Change) -> Iterable[tuple[Any, ...]]:
    rows = {closed.id: duty_row(change.state.id, closed, proof) for closed, proof in change.closed_duties}
    if change.state.duty is not None:
        rows[change.state.duty.id] = duty_row(change.state.id, change.state.duty, None)
    return rows.values()
