"""Claims on SQLite: find conversations that need work, lease them, and load what their turns need.

Nothing here reads more than it needs: finding work goes through partial indexes that hold only pending events, times to
come and live leases, so its cost depends on none of the conversations that rest (a test checks the query plans).
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from bot.control.state import Conversation
from bot.signals import Observe
from bot.store.codec import StateRow, dump_conversation, load_conversation, load_data
from bot.store.interface import CleanUp, JournalEntry, Lease, Say, StoredEvent, Work
from bot.store.rows import EVENT, event_of, lost, named_events, unsent_effects
from bot.store.sqlite.inbox import ids_as_json
from bot.store.times import from_micros, to_micros

MOST_EVENTS = 500
"""So many events of one conversation are loaded at once; the others wait for the next `fetch`."""

_WINDOW = 512  # the oldest pending events among which the most urgent conversations are looked for

_END_LEASES = """
    UPDATE conversations SET lease_owner = NULL, lease_until = NULL WHERE lease_until <= ?
"""

_CUT_LEASES = """
    UPDATE conversations SET lease_until = :until WHERE lease_until > :until
"""

_DUE = """
    SELECT id, due_at FROM conversations
    WHERE lease_until IS NULL AND due_at <= ? ORDER BY due_at LIMIT ?
"""

_WITH_EVENTS = """
    SELECT oldest.conversation_id, min(oldest.received_at), count(*), conversations.lease_until
    FROM (
        SELECT conversation_id, seq, received_at FROM inbox
        WHERE status = 'pending' AND conversation_id IS NOT NULL ORDER BY seq LIMIT ?
    ) AS oldest LEFT JOIN conversations ON conversations.id = oldest.conversation_id
    GROUP BY oldest.conversation_id ORDER BY min(oldest.seq)
"""

# From one conversation to the next in the index, however many events each has: for when the oldest events all belong to
# few conversations that others work on.
_WALK = """
    WITH RECURSIVE walk (id) AS (
        SELECT (SELECT min(conversation_id) FROM inbox WHERE status = 'pending' AND conversation_id > '')
        UNION ALL
        SELECT (SELECT min(conversation_id) FROM inbox WHERE status = 'pending' AND conversation_id > walk.id)
        FROM walk WHERE walk.id IS NOT NULL
    )
    SELECT walk.id, (
        SELECT received_at FROM inbox WHERE conversation_id = walk.id AND status = 'pending' ORDER BY seq LIMIT 1
    ) FROM walk
    WHERE walk.id IS NOT NULL
        AND NOT EXISTS (SELECT 1 FROM conversations WHERE id = walk.id AND lease_until > ?)
    LIMIT ?
"""

_REMOVED = """
    SELECT conversation_id FROM removed WHERE conversation_id IN (SELECT value FROM json_each(?))
"""

_DROP_EVENTS = """
    UPDATE inbox SET status = 'handled', handled_at = ?, reason = 'came after the removal', body = x''
    WHERE status = 'pending' AND conversation_id IN (SELECT value FROM json_each(?))
"""

_CREATE = """
    INSERT INTO conversations
        (id, holder, gone, mismatch, epoch, lease_owner, lease_until, created_at, updated_at, kept_since, state)
    VALUES (:id, 'unknown', 0, 0, 1, :owner, :until, :at, :at, :at, :state)
"""

_LEASE = """
    UPDATE conversations SET lease_owner = ?, lease_until = ?, epoch = epoch + 1
    WHERE id IN (SELECT value FROM json_each(?))
    RETURNING id, state, holder, ended_at, released_at, updated_at, epoch
"""

_EVENTS = f"""
    WITH wanted (wanted_id) AS (SELECT value FROM json_each(?))
    SELECT {EVENT} FROM wanted CROSS JOIN inbox
    WHERE seq IN (
        SELECT seq FROM inbox WHERE conversation_id = wanted_id AND status = 'pending' ORDER BY seq LIMIT ?
    ) ORDER BY seq
"""  # noqa: S608 - only constants

_EVENTS_BY_ID = f"SELECT {EVENT} FROM inbox WHERE id IN (SELECT value FROM json_each(?))"  # noqa: S608 - only constants

_OUTBOX = """
    SELECT conversation_id, effect_id, kind, body FROM outbox
    WHERE status = 'open' AND conversation_id IN (SELECT value FROM json_each(?)) ORDER BY seq
"""

_GIVE_UP = """
    UPDATE outbox SET status = 'finished', outcome = ?, finished_at = ? WHERE effect_id = ?
"""

_JOURNAL = """
    SELECT conversation_id, journal.run_id, idx, kind, key, data FROM conversations
    JOIN journal ON conversation_id = conversations.id AND journal.run_id = conversations.run_id
    WHERE conversations.id IN (SELECT value FROM json_each(?)) ORDER BY conversation_id, idx
"""

_EPOCH = "SELECT epoch FROM conversations WHERE id = ?"

_RENEW = "UPDATE conversations SET lease_owner = ?, lease_until = ? WHERE id = ? AND epoch = ?"

_FREE_WITH_EVENTS = """
    SELECT 1 FROM (
        SELECT conversation_id FROM inbox
        WHERE status = 'pending' AND conversation_id IS NOT NULL ORDER BY seq LIMIT ?
    ) AS oldest
    WHERE NOT EXISTS (SELECT 1 FROM conversations WHERE id = oldest.conversation_id AND lease_until > ?) LIMIT 1
"""

_NEXT_FREE = "SELECT min(due_at) FROM conversations WHERE due_at IS NOT NULL AND lease_until IS NULL"

_NEXT_LEASED = """
    SELECT min(CASE WHEN has_events THEN lease_until ELSE max(lease_until, due_at) END) FROM (
        SELECT lease_until, due_at, EXISTS (
            SELECT 1 FROM inbox WHERE conversation_id = conversations.id AND status = 'pending'
        ) AS has_events
        FROM conversations WHERE lease_until IS NOT NULL
    ) WHERE has_events OR due_at IS NOT NULL
"""


def claim(
    connection: sqlite3.Connection, observe: Observe, *, owner: str, now: datetime, lease: timedelta, limit: int
) -> list[Work]:
    """Lease and load the most urgent conversations, most urgent first. Report what can't be read."""
    at, until = to_micros(now), now + lease
    connection.execute(_END_LEASES, (at,))
    urgent = _most_urgent(connection, at, limit)
    removed = {row[0] for row in connection.execute(_REMOVED, (ids_as_json(urgent),))}
    if removed:
        connection.execute(_DROP_EVENTS, (at, ids_as_json(removed)))
    wanted = [conversation_id for conversation_id in urgent if conversation_id not in removed]
    if not wanted:
        return []
    leased = connection.execute(_LEASE, (owner, to_micros(until), ids_as_json(wanted))).fetchall()
    states = {row[0]: load_conversation(StateRow(*row[:6]), observe) for row in leased}
    leases = {row[0]: Lease(row[0], owner, row[6], until) for row in leased}
    for id_ in wanted:
        if id_ not in states:
            states[id_], leases[id_] = Conversation(id_), Lease(id_, owner, 1, until)
            state = dump_conversation(states[id_])
            new = {"id": id_, "owner": owner, "until": to_micros(until), "at": at, "state": state}
            connection.execute(_CREATE, new)
    return _load(connection, observe, wanted, leases, states, at)


def fetch(connection: sqlite3.Connection, lease: Lease) -> list[StoredEvent]:
    """Return the oldest unhandled events of a leased conversation. Raises `LeaseLost`."""
    row = connection.execute(_EPOCH, (lease.conversation_id,)).fetchone()
    if row is None or row[0] != lease.epoch:
        raise lost(lease)
    parameters = (ids_as_json([lease.conversation_id]), MOST_EVENTS)
    return [event_of(row) for row in connection.execute(_EVENTS, parameters)]


def renew(connection: sqlite3.Connection, lease: Lease, until: datetime) -> Lease:
    """Extend a lease. Raises `LeaseLost`."""
    parameters = (lease.owner, to_micros(until), lease.conversation_id, lease.epoch)
    if connection.execute(_RENEW, parameters).rowcount == 0:
        raise lost(lease)
    return Lease(lease.conversation_id, lease.owner, lease.epoch, until)


def cut_leases(connection: sqlite3.Connection, until: datetime) -> int:
    """Shorten leases to end by a given time. Return how many were shortened."""
    return connection.execute(_CUT_LEASES, {"until": to_micros(until)}).rowcount


def next_due(connection: sqlite3.Connection, now: datetime) -> datetime | None:
    """Return when the next claim can find something."""
    at = to_micros(now)
    free = connection.execute(_FREE_WITH_EVENTS, (_WINDOW, at)).fetchone()
    if free or connection.execute(_WALK, (at, 1)).fetchone():
        return now
    times = [connection.execute(query).fetchone()[0] for query in (_NEXT_FREE, _NEXT_LEASED)]
    earliest = min((time for time in times if time is not None), default=None)
    return None if earliest is None else from_micros(max(at, earliest))


def _most_urgent(connection: sqlite3.Connection, at: int, limit: int) -> list[str]:
    """Return the ids of conversations that can be leased, longest wait first. This expires no leases."""
    since: dict[str, int] = dict(connection.execute(_DUE, (at, limit)).fetchall())
    window = max(_WINDOW, 4 * limit)
    seen = free = 0
    for id_, received_at, events, lease_until in connection.execute(_WITH_EVENTS, (window,)):
        seen += events
        if lease_until is None:
            free += 1
            since[id_] = min(received_at, since.get(id_, received_at))
    if free < limit and seen == window:
        for id_, received_at in connection.execute(_WALK, (at, max(_WINDOW, limit))):
            since[id_] = min(received_at, since.get(id_, received_at))
    return sorted(since, key=lambda id_: (since[id_], id_))[:limit]


def _load(
    connection: sqlite3.Connection,
    observe: Observe,
    wanted: list[str],
    leases: Mapping[str, Lease],
    states: Mapping[str, Conversation],
    at: int,
) -> list[Work]:
    """Load all claimed conversations, with one query per table."""
    ids = ids_as_json(wanted)
    events: defaultdict[str, list[StoredEvent]] = defaultdict(list)
    for row in connection.execute(_EVENTS, (ids, MOST_EVENTS)):
        events[row[1]].append(event_of(row))
    unsent = _unsent(connection, observe, ids, at)
    journal: defaultdict[str, list[JournalEntry]] = defaultdict(list)
    for conversation_id, run_id, index, kind, key, data in connection.execute(_JOURNAL, (ids,)):
        run = states[conversation_id].run
        if run is not None and run.id == run_id:
            journal[conversation_id].append(JournalEntry(run_id, index, kind, key, load_data(data), len(data)))
    known = {event.id for several in events.values() for event in several}
    named = {id_: named_events(state) for id_, state in states.items()}
    inputs = _by_id(connection, {event_id for several in named.values() for event_id in several} - known)
    return [
        Work(
            lease=leases[id_],
            state=states[id_],
            events=tuple(events[id_]),
            inputs=tuple(inputs[event_id] for event_id in named[id_] if event_id in inputs),
            unsent=tuple(unsent[id_]),
            journal=tuple(journal[id_]),
        )
        for id_ in wanted
    ]


def _unsent(connection: sqlite3.Connection, observe: Observe, ids: str, at: int) -> Mapping[str, list[Say | CleanUp]]:
    """Load what is unsent, by conversation. Finish unreadable effects, with that as their outcome."""
    rows: defaultdict[str, list[tuple[Any, ...]]] = defaultdict(list)
    for id_, *row in connection.execute(_OUTBOX, (ids,)):
        rows[id_].append(tuple(row))
    effects: defaultdict[str, list[Say | CleanUp]] = defaultdict(list)
    for id_, several in rows.items():
        effects[id_], unreadable = unsent_effects(id_, several, observe)
        connection.executemany(_GIVE_UP, [(outcome, at, effect_id) for effect_id, outcome in unreadable])
    return effects


def _by_id(connection: sqlite3.Connection, event_ids: Iterable[str]) -> dict[str, StoredEvent]:
    found: Iterable[tuple[Any, ...]] = connection.execute(_EVENTS_BY_ID, (ids_as_json(event_ids),)) if event_ids else ()
    return {row[0]: event_of(row) for row in found}
