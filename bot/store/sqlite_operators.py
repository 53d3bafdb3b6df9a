"""What operators see of a SQLite database, and what they ask of it. Each function is one operation."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from bot.control.history import Moment, MomentKind
from bot.control.state import Proof, Who
from bot.store.codec import StateRow, Unreadable, load_conversation, load_data, load_duty, load_effect, unicode
from bot.store.interface import JournalEntry
from bot.store.operators import (
    HISTORY_LIMIT,
    Access,
    Listed,
    Listing,
    Page,
    PastDuty,
    PastEffect,
    PastEvent,
    Place,
    SetAside,
    Standing,
    Timeline,
)
from bot.store.times import from_micros, micros_or_none, to_micros
from webhooks.inbox import NewEvent

_KEYS = {
    Standing.ALL: ("conversations_all", "created_at", "TRUE"),
    Standing.HELD: ("conversations_held", "held_since", "held_since IS NOT NULL"),
    Standing.OWED: ("conversations_owed", "duty_since", "duty_since IS NOT NULL"),
    Standing.OVERDUE: ("conversations_owed", "duty_since", "duty_since IS NOT NULL"),
    Standing.OPEN: ("conversations_open", "ended_at", "ended_at IS NOT NULL AND released_at IS NULL"),
    Standing.ENDED: ("conversations_ended", "ended_at", "ended_at IS NOT NULL"),
    Standing.FAILED: ("conversations_failed", "failed_at", "failed_at IS NOT NULL"),
}
"""The index that holds each in its order, the column of that order, and the condition of the index."""

_ROW = "id, state, holder, ended_at, released_at, updated_at, created_at, held_since, failed_at"

_SEARCH = f"SELECT {_ROW}, created_at FROM conversations WHERE id >= ? AND id < ? AND id > ? ORDER BY id LIMIT ?"  # noqa: S608 - only constants

_ONE = f"SELECT {_ROW}, created_at FROM conversations WHERE id = ?"  # noqa: S608 - only constants

_EVENTS = """
    SELECT id, type, received_at, status, handled_at, reason, body, by_operator FROM inbox
    WHERE conversation_id = ? ORDER BY seq DESC LIMIT ?
"""

_EFFECTS = """
    SELECT effect_id, kind, body, created_at, attempts, next_attempt, finished_at, outcome FROM outbox
    WHERE conversation_id = ? ORDER BY seq DESC LIMIT ?
"""

_DUTIES = """
    SELECT body, proof, closed_at FROM duties WHERE conversation_id = ? ORDER BY duty_id DESC LIMIT ?
"""

_MOMENTS = """
    SELECT at, kind, text, who, since FROM history WHERE conversation_id = ? ORDER BY n DESC LIMIT ?
"""

_JOURNAL = """
    SELECT run_id, idx, kind, key, data FROM journal WHERE conversation_id = ? ORDER BY run_id DESC, idx DESC LIMIT ?
"""

_NOTE = """
    INSERT INTO history (conversation_id, n, at, kind, who, since, text)
    SELECT :id, coalesce(max(n), 0) + 1, :at, :kind, :who, :since, :text FROM history WHERE conversation_id = :id
"""

_TRIM = """
    DELETE FROM history WHERE conversation_id = :id
        AND n <= (SELECT max(n) FROM history WHERE conversation_id = :id) - :limit
"""

_SET_ASIDE = """
    SELECT seq, id, conversation_id, type, received_at, coalesce(reason, '') FROM inbox
    WHERE status = 'set_aside' AND seq < ? ORDER BY seq DESC LIMIT ?
"""

_RETRY = """
    UPDATE inbox SET status = 'pending', reason = NULL WHERE id = ? AND status = 'set_aside' AND length(body) > 0
    RETURNING id, conversation_id, type, body, received_at
"""

_ORDER = """
    INSERT INTO inbox (id, conversation_id, type, body, received_at, by_operator)
    SELECT ?, id, ?, ?, ?, 1 FROM conversations WHERE id = ? AND gone = 0
    ON CONFLICT (id) DO NOTHING
"""

_AUDIT = "INSERT INTO audit (at, who, action, conversation_id, detail) VALUES (?, ?, ?, ?, ?)"

_AUDIT_LOG = "SELECT at, who, action, conversation_id, detail FROM audit ORDER BY seq DESC LIMIT ?"

_AUDIT_LOG_OF = """
    SELECT at, who, action, conversation_id, detail FROM audit WHERE conversation_id = ? ORDER BY seq DESC LIMIT ?
"""

_KINDS = {kind.value: kind for kind in MomentKind}
_WHO = {who.value: who for who in Who}

_BEYOND = "\U0010ffff"
_LAST_SEQ = 2**63 - 1


def conversations(connection: sqlite3.Connection, listing: Listing, overdue_before: int) -> Page:
    """A page of conversations. One more than asked for is read, to know whether there is a next page."""
    found = _searched(connection, listing) if listing.search else _standing(connection, listing, overdue_before)
    rows = found[: listing.limit]
    if len(found) <= listing.limit or not rows:
        return Page(rows)
    last = rows[-1]
    return Page(rows, Place(last.state.id, None if listing.search else last.since))


def list_query(standing: Standing, *, until: bool, after: bool) -> str:
    """The query of a listing; its parameters are named `until`, `since`, `id` and `limit`."""
    index, column, condition = _KEYS[standing]
    order, beyond = ("DESC", "<") if standing.newest_first else ("ASC", ">")
    clauses = [condition]
    if until or standing is Standing.OVERDUE:
        clauses.append(f"{column} <= :until")
    if after:
        clauses.append(f"({column}, id) {beyond} (:since, :id)")
    where = " AND ".join(clauses)
    return f"""
        SELECT {_ROW}, {column} FROM conversations INDEXED BY {index}
        WHERE {where} ORDER BY {column} {order}, id {order} LIMIT :limit
    """  # noqa: S608 - only constants


def timeline(connection: sqlite3.Connection, conversation_id: str, limit: int) -> Timeline | None:
    """All that is stored about a conversation."""
    row = connection.execute(_ONE, (conversation_id,)).fetchone()
    if row is None:
        return None
    parts = [
        connection.execute(query, (conversation_id, limit + 1)).fetchall()
        for query in (_EVENTS, _EFFECTS, _DUTIES, _MOMENTS, _JOURNAL)
    ]
    events, effects, duties, history, journal = ([*reversed(part[:limit])] for part in parts)
    return Timeline(
        listed=_listed(row),
        events=[_event(row) for row in events],
        effects=[_effect(row) for row in effects],
        duties=[duty for row in duties if (duty := _duty(row))],
        moments=[_moment(row) for row in history],
        journal=[JournalEntry(run, index, kind, key, load_data(data)) for run, index, kind, key, data in journal],
        cut=any(len(part) > limit for part in parts),
    )


def note(connection: sqlite3.Connection, conversation_id: str, moments: Sequence[Moment]) -> None:
    """Add to the history of a conversation, and drop what is too old in it."""
    for moment in moments:
        values = {
            "id": conversation_id,
            "at": to_micros(moment.at),
            "kind": moment.kind.value,
            "who": moment.who and moment.who.value,
            "since": micros_or_none(moment.since),
            "text": unicode(moment.text),
        }
        connection.execute(_NOTE, values)
    connection.execute(_TRIM, {"id": conversation_id, "limit": HISTORY_LIMIT})


def set_aside_events(connection: sqlite3.Connection, limit: int, before: int | None) -> list[SetAside]:
    """Events that were set aside, the newest first."""
    rows = connection.execute(_SET_ASIDE, (_LAST_SEQ if before is None else before, limit))
    return [
        SetAside(seq, id_, conversation_id, type_, from_micros(received_at), reason)
        for seq, id_, conversation_id, type_, received_at, reason in rows
    ]


def retry(connection: sqlite3.Connection, event_id: str) -> NewEvent | None:
    """Let an event that was set aside be taken up again."""
    rows = connection.execute(_RETRY, (event_id,)).fetchall()
    for id_, conversation_id, type_, body, received_at in rows:
        return NewEvent(id_, conversation_id, type_, body, from_micros(received_at))
    return None


def order(connection: sqlite3.Connection, asked: NewEvent) -> bool:
    """Store what an operator asks of a conversation that is known."""
    values = (asked.id, asked.type, asked.body, to_micros(asked.received_at), asked.conversation_id)
    return connection.execute(_ORDER, values).rowcount == 1


def audit(connection: sqlite3.Connection, access: Access) -> None:
    """Add to the audit log."""
    texts = (unicode(access.who), unicode(access.action), access.conversation_id and unicode(access.conversation_id))
    connection.execute(_AUDIT, (to_micros(access.at), *texts, unicode(access.detail)))


def audit_log(connection: sqlite3.Connection, limit: int, conversation_id: str | None) -> list[Access]:
    """The newest entries of the audit log."""
    if conversation_id is None:
        rows = connection.execute(_AUDIT_LOG, (limit,))
    else:
        rows = connection.execute(_AUDIT_LOG_OF, (conversation_id, limit))
    return [Access(from_micros(row[0]), *row[1:]) for row in rows]


def _searched(connection: sqlite3.Connection, listing: Listing) -> list[Listed]:
    after = listing.after.id if listing.after else ""
    values = (listing.search, listing.search + _BEYOND, after, listing.limit + 1)
    return [_listed(row) for row in connection.execute(_SEARCH, values)]


def _standing(connection: sqlite3.Connection, listing: Listing, overdue_before: int) -> list[Listed]:
    until = micros_or_none(listing.until)
    if listing.standing is Standing.OVERDUE:
        until = overdue_before if until is None else min(until, overdue_before)
    query = list_query(listing.standing, until=until is not None, after=listing.after is not None)
    place = listing.after or Place("")
    since = micros_or_none(place.since) or 0
    values = {"until": until, "since": since, "id": place.id, "limit": listing.limit + 1}
    return [_listed(row) for row in connection.execute(query, values)]


def _listed(row: tuple[Any, ...]) -> Listed:
    updated_at, created_at, held_since, failed_at, since = row[5:]
    return Listed(
        load_conversation(StateRow(*row[:6])),
        since=from_micros(since),
        created_at=from_micros(created_at),
        updated_at=from_micros(updated_at),
        held_since=None if held_since is None else from_micros(held_since),
        failed_at=None if failed_at is None else from_micros(failed_at),
    )


def _event(row: tuple[Any, ...]) -> PastEvent:
    id_, type_, received_at, status, handled_at, reason, body, by_operator = row
    handled = None if handled_at is None else from_micros(handled_at)
    return PastEvent(id_, type_, from_micros(received_at), status, handled, reason, body, bool(by_operator))


def _effect(row: tuple[Any, ...]) -> PastEffect:
    id_, kind, body, created_at, attempts, next_attempt, finished_at, outcome = row
    try:
        effect = load_effect(kind, body)
    except Unreadable:
        effect = None
    finished = None if finished_at is None else from_micros(finished_at)
    return PastEffect(
        id_, kind, effect, from_micros(created_at), attempts, from_micros(next_attempt), finished, outcome
    )


def _duty(row: tuple[Any, ...]) -> PastDuty | None:
    body, proof, closed_at = row
    try:
        duty = load_duty(body)
    except Unreadable:
        return None
    return PastDuty(duty, None if closed_at is None else Proof(proof or "", from_micros(closed_at)))


def _moment(row: tuple[Any, ...]) -> Moment:
    at, kind, text, who, since = row
    known = _KINDS.get(kind, MomentKind.REPORT)  # a newer version may know more
    return Moment(from_micros(at), known, text, _WHO.get(who), None if since is None else from_micros(since))
