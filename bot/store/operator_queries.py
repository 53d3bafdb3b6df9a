"""Operators' queries for both engines, and how to read their rows.

See `asking` for these words.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import replace
from itertools import takewhile
from typing import Any

from bot.control.history import Moment, MomentKind
from bot.control.state import Proof, Who
from bot.store.codec import StateRow, Unreadable, load_conversation, load_data, load_duty, load_effect, unicode
from bot.store.interface import PROBE_BYTES, JournalEntry
from bot.store.operators import (
    LARGEST_SHOWN,
    Access,
    Before,
    Listed,
    Listing,
    Page,
    PastDuty,
    PastEffect,
    PastEvent,
    Place,
    RunAtWork,
    SetAside,
    Standing,
    Timeline,
)
from bot.store.questions import overdue_before
from bot.store.times import from_micros, micros_or_none, to_micros
from webhooks.contacts import ContactKind, search_term
from webhooks.inbox import NewEvent

LAST = 2**63 - 1
"""Later than every place and time."""

STEPS_IN_RUN = 1024
"""More than the journal of a run may have, so that run and index make one number."""

_KEYS = {
    Standing.ALL: ("conversations_all", "created_at", "TRUE"),
    Standing.HELD: ("conversations_held", "held_since", "held_since IS NOT NULL"),
    Standing.OWED: ("conversations_owed", "duty_since", "duty_since IS NOT NULL"),
    Standing.OVERDUE: ("conversations_owed", "duty_since", "duty_since IS NOT NULL"),
    Standing.OPEN: ("conversations_open", "ended_at", "ended_at IS NOT NULL AND released_at IS NULL"),
    Standing.ENDED: ("conversations_ended", "ended_at", "ended_at IS NOT NULL"),
    Standing.FAILED: ("conversations_failed", "failed_at", "failed_at IS NOT NULL"),
    Standing.MISMATCH: ("conversations_mismatch", "mismatch_at", "mismatch_at IS NOT NULL"),
}
"""The index that holds each in its order, the column of that order, and the condition of the index."""

_ROW = "id, state, holder, ended_at, released_at, updated_at, created_at, held_since, failed_at"

# People are found along an index of their own first, and sorted then. In the order of the ids, a database would read
# all of them for a term that hardly anybody fits.
SEARCH = f"""
    WITH by_user AS MATERIALIZED (
        SELECT conversation_id AS id FROM participants INDEXED BY participants_user
        WHERE user_id >= :first AND user_id < :beyond AND conversation_id > :id
    ), by_contact AS MATERIALIZED (
        SELECT conversation_id AS id FROM contacts INDEXED BY contacts_term
        WHERE term >= :term AND term < :term_beyond AND conversation_id > :id
    ), by_flow AS MATERIALIZED (
        SELECT id FROM conversations INDEXED BY conversations_flow
        WHERE run_id IS NOT NULL AND flow = :flow AND id > :id
    )
    SELECT {_ROW}, created_at FROM conversations WHERE id IN (
        SELECT id FROM (
            SELECT id FROM conversations WHERE id >= :first AND id < :beyond AND id > :id ORDER BY id LIMIT :limit
        ) AS these
        UNION
        SELECT id FROM (SELECT DISTINCT id FROM by_user ORDER BY id LIMIT :limit) AS those
        UNION
        SELECT id FROM (SELECT DISTINCT id FROM by_contact ORDER BY id LIMIT :limit) AS others
        UNION
        SELECT id FROM (SELECT id FROM by_flow ORDER BY id LIMIT :limit) AS at_work
    ) ORDER BY id LIMIT :limit
"""  # noqa: S608 - only constants

CONTACTS = """
    SELECT conversation_id, kind, shown FROM contacts
    WHERE conversation_id IN (SELECT value FROM json_each(?)) AND shown IS NOT NULL ORDER BY conversation_id, at
"""
"""What is known of the people of some conversations."""

ONE = f"SELECT {_ROW}, created_at FROM conversations WHERE id = ?"  # noqa: S608 - only constants

EVENTS = f"""
    SELECT seq, received_at, id, type, status, handled_at, reason,
        CASE WHEN length(body) <= {LARGEST_SHOWN} THEN body END, length(body), by_operator
    FROM inbox WHERE conversation_id = ? AND seq < ? ORDER BY seq DESC LIMIT ?
"""  # noqa: S608 - only constants

EFFECTS = f"""
    SELECT seq, coalesce(finished_at, created_at), effect_id, kind,
        CASE WHEN length(body) <= {LARGEST_SHOWN} THEN body END,
        created_at, attempts, finished_at, outcome
    FROM outbox WHERE conversation_id = ? AND seq < ? ORDER BY seq DESC LIMIT ?
"""  # noqa: S608 - only constants

DUTIES = f"""
    SELECT duty_id, coalesce(closed_at, {LAST}), body, proof, closed_at FROM duties
    WHERE conversation_id = ? AND duty_id < ? ORDER BY duty_id DESC LIMIT ?
"""  # noqa: S608 - only constants

MOMENTS = """
    SELECT n, at, kind, text, who, since FROM history WHERE conversation_id = ? AND n < ? ORDER BY n DESC LIMIT ?
"""

STEPS = f"""
    SELECT run_id * {STEPS_IN_RUN} + idx, CASE WHEN at = 0 THEN {LAST} ELSE at END, run_id, idx, kind, key,
        CASE WHEN length(data) <= {LARGEST_SHOWN} THEN data ELSE 'null' END, length(data), at
    FROM journal WHERE conversation_id = ? AND run_id * {STEPS_IN_RUN} + idx < ?
    ORDER BY run_id DESC, idx DESC LIMIT ?
"""  # noqa: S608 - only constants

RUNS_AT_WORK = """
    SELECT id, state, holder, ended_at, released_at, updated_at, flow, flow_version FROM conversations
    INDEXED BY conversations_flow
    WHERE run_id IS NOT NULL AND (flow, flow_version, id) > (:flow, :version, :id)
    ORDER BY flow, flow_version, id LIMIT :limit
"""

RUN_STEPS = """
    SELECT run_id, idx, kind, key, data, length(data), at FROM journal
    WHERE conversation_id = ? AND run_id = ? ORDER BY idx
"""

SET_ASIDE = """
    SELECT seq, id, conversation_id, type, received_at, coalesce(reason, '') FROM inbox
    WHERE status = 'set_aside' AND seq < ? ORDER BY seq DESC LIMIT ?
"""

RETRY = """
    UPDATE inbox SET status = 'pending', reason = NULL WHERE id = ? AND status = 'set_aside' AND length(body) > 0
    RETURNING id, conversation_id, type, body, received_at
"""

ORDER = """
    INSERT INTO inbox (id, conversation_id, type, body, received_at, by_operator)
    SELECT ?, id, ?, ?, ?, TRUE FROM conversations WHERE id = ? AND NOT gone
    ON CONFLICT (id) DO NOTHING RETURNING 1
"""

END_SESSION = "INSERT INTO ended_sessions (id, until) VALUES (?, ?) ON CONFLICT (id) DO NOTHING"

ORDERED = "SELECT 1 FROM inbox WHERE id = ?"

FORGET_SESSIONS = "DELETE FROM ended_sessions WHERE until <= ?"

ENDED_SESSION = "SELECT 1 FROM ended_sessions WHERE id = ?"

AUDIT = "INSERT INTO audit (at, who, action, conversation_id, detail) VALUES (?, ?, ?, ?, ?)"

PROBE = """
    INSERT INTO inbox (id, type, received_at, status, body) VALUES (?, 'probe', 0, 'handled', ?) RETURNING seq
"""
"""Where webhooks are stored: a lock on this table alone keeps them out."""

END_PROBE = "DELETE FROM inbox WHERE seq = ?"

AUDIT_LOG = "SELECT at, who, action, conversation_id, detail FROM audit ORDER BY seq DESC LIMIT :limit"

AUDIT_LOG_OF = """
    SELECT at, who, action, conversation_id, detail FROM audit WHERE conversation_id = ? ORDER BY seq DESC LIMIT ?
"""

PARTS = (EVENTS, EFFECTS, DUTIES, MOMENTS, STEPS)
"""Each for one conversation, before a place, the newest first, at most so many. Rows begin with place and time."""

_KINDS = {kind.value: kind for kind in MomentKind}
_WHO = {who.value: who for who in Who}
_CONTACTS = {kind.value: kind for kind in ContactKind}

_BEYOND = "\U0010ffff"


def page_query(listing: Listing) -> tuple[str, dict[str, Any]]:
    """Return the query of a page, and its values. It reads one row more, to know whether there is a next page."""
    if listing.search:
        after = listing.after.id if listing.after else ""
        term = unicode(search_term(listing.search))
        values = {"first": listing.search, "beyond": listing.search + _BEYOND, "id": after, "limit": listing.limit + 1}
        return SEARCH, values | {"term": term, "term_beyond": term + _BEYOND, "flow": unicode(listing.search)}
    until = micros_or_none(listing.until)
    if listing.standing is Standing.OVERDUE:
        overdue = overdue_before(listing.now) - 1
        until = overdue if until is None else min(until, overdue)
    query = list_query(listing.standing, until=until is not None, after=listing.after is not None)
    place = listing.after or Place("")
    since = micros_or_none(place.since) or 0
    return query, {"until": until, "since": since, "id": place.id, "limit": listing.limit + 1}


def list_query(standing: Standing, *, until: bool, after: bool) -> str:
    """Return the query of a listing. Its parameters are `until`, `since`, `id` and `limit`."""
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


def page_of(listing: Listing, rows: Sequence[Sequence[Any]]) -> Page:
    """Build a page from the rows of its query."""
    found = [listed(row) for row in rows]
    shown = found[: listing.limit]
    if len(found) <= listing.limit or not shown:
        return Page(shown)
    last = shown[-1]
    return Page(shown, Place(last.state.id, None if listing.search else last.since))


def with_contacts(found: Sequence[Listed], rows: Sequence[Sequence[Any]]) -> list[Listed]:
    """Add contacts to conversations, from the rows of `CONTACTS`."""
    known: dict[str, dict[ContactKind, str]] = {}
    for id_, kind, shown in rows:
        if kind in _CONTACTS:  # a newer version may know more
            known.setdefault(id_, {})[_CONTACTS[kind]] = shown
    return [replace(one, contacts=known.get(one.state.id, {})) for one in found]


def parts_of(conversation_id: str, limit: int, before: Before) -> list[tuple[str, tuple[Any, ...]]]:
    """Return the queries of `PARTS` with their values. Each reads one row over the limit, to detect more."""
    places = (before.event, before.effect, before.duty, before.moment, before.step)
    return [(query, (conversation_id, place, limit + 1)) for query, place in zip(PARTS, places, strict=True)]


def timeline_of(row: Sequence[Any], parts: Sequence[Sequence[Any]], limit: int, before: Before) -> Timeline:
    """Build part of a timeline from the row of `ONE` and the rows of each query of `parts_of`."""
    # Where one part goes on further back, the others end at the same time, or the stretch would have gaps.
    since = max((min(_time(row) for row in rows[:limit]) for rows in parts if len(rows) > limit), default=-LAST)
    kept = [[*takewhile(lambda row: _time(row) >= since, rows[:limit])] for rows in parts]
    places = (before.event, before.effect, before.duty, before.moment, before.step)
    ends = [rows[-1][0] if rows else place for rows, place in zip(kept, places, strict=True)]
    is_cut = any(len(rows) > len(shown) for rows, shown in zip(parts, kept, strict=True))
    events, effects, duties, history, steps = ([*reversed(rows)] for rows in kept)
    return Timeline(
        listed=listed(row),
        events=[_event(row) for row in events],
        effects=[_effect(row) for row in effects],
        duties=[duty for row in duties if (duty := _duty(row))],
        moments=[_moment(row) for row in history],
        journal=[entry_of(row[2:]) for row in steps],
        older=Before(*ends) if is_cut else None,
    )


def run_at_work(row: Sequence[Any], steps: Sequence[Sequence[Any]]) -> RunAtWork:
    """Read a row of `RUNS_AT_WORK`, with its rows of `RUN_STEPS`."""
    return RunAtWork(load_conversation(StateRow(*row[:6])), [entry_of(step) for step in steps], *row[6:])


def place_of(after: RunAtWork | None, limit: int) -> dict[str, Any]:
    """The values of `RUNS_AT_WORK`."""
    flow, version, id_ = (unicode(after.flow), after.version, after.state.id) if after else ("", -1, "")
    return {"flow": flow, "version": version, "id": id_, "limit": limit}


def run_of(row: Sequence[Any]) -> tuple[str, int]:
    """The values of `RUN_STEPS` for a row of `RUNS_AT_WORK`."""
    run = load_conversation(StateRow(*row[:6])).run
    return row[0], run.id if run else -1


def entry_of(row: Sequence[Any]) -> JournalEntry:
    """Read a row of `RUN_STEPS`."""
    run_id, index, kind, key, data, size, at = row
    return JournalEntry(run_id, index, kind, key, load_data(data), size, from_micros(at) if at else None)


def _time(row: Sequence[Any]) -> int:
    at: int = row[1]
    return at


def set_aside_of(row: Sequence[Any]) -> SetAside:
    """Read a row of `SET_ASIDE`."""
    seq, id_, conversation_id, type_, received_at, reason = row
    return SetAside(seq, id_, conversation_id, type_, from_micros(received_at), reason)


def new_event_of(row: Sequence[Any]) -> NewEvent:
    """Read a row of `RETRY`."""
    id_, conversation_id, type_, body, received_at = row
    return NewEvent(id_, conversation_id, type_, body, from_micros(received_at))


def order_row(asked: NewEvent) -> tuple[Any, ...]:
    """The values of `ORDER`."""
    return asked.id, asked.type, asked.body, to_micros(asked.received_at), asked.conversation_id


def access_row(access: Access) -> tuple[Any, ...]:
    """The values of `AUDIT`."""
    texts = (unicode(access.who), unicode(access.action), access.conversation_id and unicode(access.conversation_id))
    return (to_micros(access.at), *texts, unicode(access.detail))


def access_of(row: Sequence[Any]) -> Access:
    """Read a row of `AUDIT_LOG` or `AUDIT_LOG_OF`."""
    return Access(from_micros(row[0]), *row[1:])


def probe_row() -> tuple[Any, ...]:
    """The values of `PROBE`: `PROBE_BYTES` that no database can compress."""
    return f"probe {secrets.token_hex(8)}", secrets.token_bytes(PROBE_BYTES)


def listed(row: Sequence[Any]) -> Listed:
    """Read a row of a listing."""
    updated_at, created_at, held_since, failed_at, since = row[5:]
    return Listed(
        load_conversation(StateRow(*row[:6])),
        since=from_micros(since),
        created_at=from_micros(created_at),
        updated_at=from_micros(updated_at),
        held_since=None if held_since is None else from_micros(held_since),
        failed_at=None if failed_at is None else from_micros(failed_at),
    )


def _event(row: Sequence[Any]) -> PastEvent:
    _, received_at, id_, type_, status, handled_at, reason, body, size, by_operator = row
    handled = None if handled_at is None else from_micros(handled_at)
    at = from_micros(received_at)
    return PastEvent(id_, type_, at, status, handled, reason, body or b"", bool(by_operator), size)


def _effect(row: Sequence[Any]) -> PastEffect:
    _, _, id_, kind, body, created_at, attempts, finished_at, outcome = row
    try:
        effect = None if body is None else load_effect(kind, body)
    except Unreadable:
        effect = None
    finished = None if finished_at is None else from_micros(finished_at)
    return PastEffect(id_, kind, effect, from_micros(created_at), attempts, finished, outcome)


def _duty(row: Sequence[Any]) -> PastDuty | None:
    _, _, body, proof, closed_at = row
    try:
        duty = load_duty(body)
    except Unreadable:
        return None
    return PastDuty(duty, None if closed_at is None else Proof(proof or "", from_micros(closed_at)))


def _moment(row: Sequence[Any]) -> Moment:
    _, at, kind, text, who, since = row
    known = _KINDS.get(kind, MomentKind.REPORT)  # a newer version may know more
    return Moment(from_micros(at), known, text, _WHO.get(who), None if since is None else from_micros(since))
