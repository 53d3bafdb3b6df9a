"""Saves one step of a turn to SQLite: all or nothing, and only under the newest lease."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from dataclasses import replace
from datetime import datetime

from bot.store.codec import unicode
from bot.store.interface import Change, Lease, StoreError
from bot.store.operators import HISTORY_LIMIT
from bot.store.rows import (
    columns_of,
    contact_rows,
    duty_row,
    effect_rows,
    has_failed,
    journal_row,
    lost,
    moment_row,
)
from bot.store.sqlite.inbox import erase_if_removed, erase_set_aside, ids_as_json, inserting
from bot.store.times import to_micros

_STORED = "SELECT epoch, duty_id FROM conversations WHERE id = ?"

_SAVE = """
    UPDATE conversations SET
        holder = :holder, ended_at = :ended_at, released_at = :released_at, gone = :gone, mismatch = :mismatch,
        duty_id = :duty_id, duty_since = :duty_since, run_id = :run_id, flow = :flow, flow_version = :flow_version,
        look_at = :look_at, due_at = :look_at, unsent = :unsent,
        held_since = CASE WHEN :holder = 'bot' THEN coalesce(held_since, :now) END,
        mismatch_at = CASE WHEN :mismatch THEN coalesce(mismatch_at, :now) END,
        failed_at = coalesce(:failed_at, failed_at), updated_at = :now, state = :state, epoch = epoch + :release,
        lease_owner = CASE WHEN :release THEN NULL ELSE lease_owner END,
        lease_until = CASE WHEN :release THEN NULL ELSE lease_until END
    WHERE id = :id AND epoch = :epoch
"""

_NOTE = """
    INSERT INTO history (conversation_id, n, at, kind, who, since, text)
    SELECT ?1, coalesce(max(n), 0) + 1, ?2, ?3, ?4, ?5, ?6 FROM history WHERE conversation_id = ?1
"""

_TRIM_HISTORY = """
    DELETE FROM history WHERE conversation_id = :id
        AND n <= (SELECT max(n) FROM history WHERE conversation_id = :id) - :limit
"""

_HANDLED = """
    UPDATE inbox SET status = 'handled', handled_at = ?
    WHERE id IN (SELECT value FROM json_each(?)) AND conversation_id = ? AND status = 'pending'
"""

_SET_ASIDE = """
    UPDATE inbox SET status = 'set_aside', reason = ? WHERE id = ? AND conversation_id = ? AND status = 'pending'
"""

_ADD = """
    INSERT INTO outbox (effect_id, conversation_id, kind, body, created_at, attempts, outcome, status, finished_at)
    VALUES (:id, :of, :kind, :body, :at, :attempts, :outcome, iif(:outcome IS NULL, 'open', 'finished'), :finished)
"""

_FINISH = """
    UPDATE outbox SET status = 'finished', attempts = ?, outcome = ?, finished_at = ?
    WHERE effect_id = ? AND conversation_id = ? AND status = 'open'
"""

_DUTY = """
    INSERT INTO duties (
        conversation_id, duty_id, action, target, reason, since, attempts, next_attempt, stage, last_answer, body,
        closed_at, proof
    ) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (conversation_id, duty_id) DO UPDATE SET
        attempts = excluded.attempts, next_attempt = excluded.next_attempt, stage = excluded.stage,
        last_answer = excluded.last_answer, body = excluded.body, closed_at = excluded.closed_at, proof = excluded.proof
"""

_ABANDON = """
    UPDATE duties SET closed_at = ?, proof = 'not owed any more; no reason was recorded'
    WHERE conversation_id = ? AND duty_id = ? AND closed_at IS NULL
"""

_SEEN = "INSERT INTO participants (conversation_id, user_id) VALUES (?, ?) ON CONFLICT DO NOTHING"

_FOUND_BY = """
    INSERT INTO contacts (conversation_id, kind, term, shown, at) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET shown = coalesce(excluded.shown, shown), at = excluded.at
"""

_ERASE = "DELETE FROM conversations WHERE id = ?"

_ERASE_REST = (
    "DELETE FROM outbox WHERE conversation_id = ?",
    "DELETE FROM journal WHERE conversation_id = ?",
    "DELETE FROM duties WHERE conversation_id = ?",
    "DELETE FROM history WHERE conversation_id = ?",
    "DELETE FROM participants WHERE conversation_id = ?",
    "DELETE FROM contacts WHERE conversation_id = ?",
)

_EMPTY_EVENTS = """
    UPDATE inbox SET status = 'handled', handled_at = coalesce(handled_at, :at), reason = NULL, body = x''
    WHERE conversation_id = :id AND (:all OR status <> 'pending' OR id IN (SELECT value FROM json_each(:taken)))
"""

_REMEMBER_USER = "INSERT INTO removed_users (user_id, at) VALUES (?, ?) ON CONFLICT DO NOTHING"

_REMOVED_USER = "SELECT 1 FROM removed_users WHERE user_id IN (SELECT value FROM json_each(?)) LIMIT 1"

_REMEMBER_REMOVED = "INSERT INTO removed (conversation_id, at) VALUES (?, ?) ON CONFLICT DO NOTHING"


def save(connection: sqlite3.Connection, lease: Lease, change: Change, now: datetime) -> bool:
    """Write a change. True if something was erased. Raises `LeaseLost`, or `UnsafeState` from the database's check."""
    if change.state.id != lease.conversation_id:
        raise StoreError(f"a lease of {lease.conversation_id} can't write the state of {change.state.id}")
    at = to_micros(now)
    stored = connection.execute(_STORED, (lease.conversation_id,)).fetchone()
    if stored is None or stored[0] != lease.epoch:
        raise lost(lease)
    if not change.forget and _names_removed(connection, change.users):
        change = replace(change, forget=True, state=change.state.begun_anew(now))
    if change.forget:
        _forget(connection, change, at)
        if not change.state.gone:
            begun = {"now": at, "epoch": lease.epoch, "release": 1, "failed_at": None}
            connection.execute(_SAVE, columns_of(change.state) | begun)
        return True
    _, duty_id = stored
    _write_events(connection, change, at)
    _write_outbox(connection, change, now)
    _write_journal(connection, change)
    _write_duties(connection, change, duty_id, at)
    if change.history:
        connection.executemany(_NOTE, [(change.state.id, *moment_row(moment)) for moment in change.history])
        connection.execute(_TRIM_HISTORY, {"id": change.state.id, "limit": HISTORY_LIMIT})
    if change.users:
        connection.executemany(_SEEN, [(change.state.id, unicode(user)) for user in sorted(change.users)])
    if change.contacts:
        connection.executemany(_FOUND_BY, [(change.state.id, *row, at) for row in contact_rows(change)])
    failed = at if has_failed(change) else None
    more = {"now": at, "epoch": lease.epoch, "release": int(change.release), "failed_at": failed}
    connection.execute(_SAVE, columns_of(change.state) | more)
    return False


def remember_removal(connection: sqlite3.Connection, user_id: str, now: datetime) -> int:
    """Remember a removed person by id only. Return how many set-aside events were emptied."""
    connection.execute(_REMEMBER_USER, (unicode(user_id), to_micros(now)))
    return erase_set_aside(connection, user_id)


def _names_removed(connection: sqlite3.Connection, users: Collection[str]) -> bool:
    """Return whether one of these people was removed."""
    if not users:
        return False
    named = ids_as_json([unicode(user) for user in users])
    return connection.execute(_REMOVED_USER, (named,)).fetchone() is not None


def _write_events(connection: sqlite3.Connection, change: Change, at: int) -> None:
    if change.handled:
        connection.execute(_HANDLED, (at, ids_as_json(change.handled), change.state.id))
    for event_id, reason in change.set_aside:
        connection.execute(_SET_ASIDE, (unicode(reason), event_id, change.state.id))
        erase_if_removed(connection, event_id)


def _write_outbox(connection: sqlite3.Connection, change: Change, now: datetime) -> None:
    new, known = effect_rows(change, now)
    for id_, kind, body, at, attempts, outcome in new:
        values = {"id": id_, "of": change.state.id, "kind": kind, "body": body, "at": at, "attempts": attempts}
        finished = None if outcome is None else to_micros(now)
        connection.execute(_ADD, values | {"outcome": outcome, "finished": finished})
    for id_, attempts, outcome in known:
        connection.execute(_FINISH, (attempts, outcome, to_micros(now), id_, change.state.id))


def _write_journal(connection: sqlite3.Connection, change: Change) -> None:
    rows = [journal_row(change.state.id, entry) for entry in change.journal]
    inserting("journal (conversation_id, run_id, idx, kind, key, data, at)", rows)(connection)


def _write_duties(connection: sqlite3.Connection, change: Change, stored_duty: int | None, at: int) -> None:
    duty = change.state.duty
    for closed, proof in change.closed_duties:
        connection.execute(_DUTY, duty_row(change.state.id, closed, proof))
    accounted = {closed.id for closed, _ in change.closed_duties}
    if duty is not None:
        connection.execute(_DUTY, duty_row(change.state.id, duty, None))
        accounted.add(duty.id)
    if stored_duty is not None and stored_duty not in accounted:
        connection.execute(_ABANDON, (at, change.state.id, stored_duty))


def _forget(connection: sqlite3.Connection, change: Change, at: int) -> None:
    """Erase all but the ids of events, by which a late retry is known; and a tombstone for what comes when all is over.

    The conversation's own row stays where it begins anew.
    """
    conversation_id = change.state.id
    for statement in _ERASE_REST:
        connection.execute(statement, (conversation_id,))
    taken = ids_as_json([*change.handled, *(event_id for event_id, _ in change.set_aside)])
    events = {"at": at, "id": conversation_id, "all": int(change.state.gone), "taken": taken}
    connection.execute(_EMPTY_EVENTS, events)
    if change.state.gone:
        connection.execute(_ERASE, (conversation_id,))
        connection.execute(_REMEMBER_REMOVED, (conversation_id, at))
