"""What operators ask of a database, in the words of both engines, and what the answers mean.

Places for values are `?` or `:name`; `rows.numbered` makes PostgreSQL's of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bot.control.history import Moment, MomentKind
from bot.control.state import Proof, Who
from bot.store.codec import StateRow, Unreadable, load_conversation, load_data, load_duty, load_effect, unicode
from bot.store.interface import JournalEntry
from bot.store.operators import (
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
from bot.store.questions import overdue_before
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
    Standing.MISMATCH: ("conversations_mismatch", "mismatch_at", "mismatch_at IS NOT NULL"),
}
"""The index that holds each in its order, the column of that order, and the condition of the index."""

_ROW = "id, state, holder, ended_at, released_at, updated_at, created_at, held_since, failed_at"

SEARCH = f"""
    SELECT {_ROW}, created_at FROM conversations
    WHERE id >= :first AND id < :beyond AND id > :id ORDER BY id LIMIT :limit
"""  # noqa: S608 - only constants

ONE = f"SELECT {_ROW}, created_at FROM conversations WHERE id = ?"  # noqa: S608 - only constants

EVENTS = """
    SELECT id, type, received_at, status, handled_at, reason, body, by_operator FROM inbox
    WHERE conversation_id = ? ORDER BY seq DESC LIMIT ?
"""

EFFECTS = """
    SELECT effect_id, kind, body, created_at, attempts, next_attempt, finished_at, outcome FROM outbox
    WHERE conversation_id = ? ORDER BY seq DESC LIMIT ?
"""

DUTIES = """
    SELECT body, proof, closed_at FROM duties WHERE conversation_id = ? ORDER BY duty_id DESC LIMIT ?
"""

MOMENTS = """
    SELECT at, kind, text, who, since FROM history WHERE conversation_id = ? ORDER BY n DESC LIMIT ?
"""

JOURNAL = """
    SELECT run_id, idx, kind, key, data FROM journal WHERE conversation_id = ? ORDER BY run_id DESC, idx DESC LIMIT ?
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
    ON CONFLICT (id) DO NOTHING
"""

AUDIT = "INSERT INTO audit (at, who, action, conversation_id, detail) VALUES (?, ?, ?, ?, ?)"

AUDIT_LOG = "SELECT at, who, action, conversation_id, detail FROM audit ORDER BY seq DESC LIMIT ?"

AUDIT_LOG_OF = """
    SELECT at, who, action, conversation_id, detail FROM audit WHERE conversation_id = ? ORDER BY seq DESC LIMIT ?
"""

PARTS = (EVENTS, EFFECTS, DUTIES, MOMENTS, JOURNAL)
"""Each for one conversation, the newest first, at most so many: id, limit."""

_KINDS = {kind.value: kind for kind in MomentKind}
_WHO = {who.value: who for who in Who}

_BEYOND = "\U0010ffff"
LAST_SEQ = 2**63 - 1


def page_query(listing: Listing) -> tuple[str, dict[str, Any]]:
    """The query of a page, and its values. One more than asked for is read, to know whether there is a next page."""
    if listing.search:
        after = listing.after.id if listing.after else ""
        values = {"first": listing.search, "beyond": listing.search + _BEYOND, "id": after, "limit": listing.limit + 1}
        return SEARCH, values
    until = micros_or_none(listing.until)
    if listing.standing is Standing.OVERDUE:
        overdue = overdue_before(listing.now) - 1
        until = overdue if until is None else min(until, overdue)
    query = list_query(listing.standing, until=until is not None, after=listing.after is not None)
    place = listing.after or Place("")
    since = micros_or_none(place.since) or 0
    return query, {"until": until, "since": since, "id": place.id, "limit": listing.limit + 1}


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


def page_of(listing: Listing, rows: Sequence[Sequence[Any]]) -> Page:
    """The page that the rows of its query make."""
    found = [listed(row) for row in rows]
    shown = found[: listing.limit]
    if len(found) <= listing.limit or not shown:
        return Page(shown)
    last = shown[-1]
    return Page(shown, Place(last.state.id, None if listing.search else last.since))


def timeline_of(row: Sequence[Any], parts: Sequence[Sequence[Any]], limit: int) -> Timeline:
    """The timeline from the row of `ONE` and those of each of `PARTS`, which were read with one more than `limit`."""
    events, effects, duties, history, journal = ([*reversed(part[:limit])] for part in parts)
    return Timeline(
        listed=listed(row),
        events=[_event(row) for row in events],
        effects=[_effect(row) for row in effects],
        duties=[duty for row in duties if (duty := _duty(row))],
        moments=[_moment(row) for row in history],
        journal=[
            JournalEntry(run, index, kind, key, load_data(data), len(data)) for run, index, kind, key, data in journal
        ],
        cut=any(len(part) > limit for part in parts),
    )


def set_aside_of(row: Sequence[Any]) -> SetAside:
    """The event in a row of `SET_ASIDE`."""
    seq, id_, conversation_id, type_, received_at, reason = row
    return SetAside(seq, id_, conversation_id, type_, from_micros(received_at), reason)


def new_event_of(row: Sequence[Any]) -> NewEvent:
    """The event in a row of `RETRY`."""
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
    """The entry in a row of `AUDIT_LOG` or `AUDIT_LOG_OF`."""
    return Access(from_micros(row[0]), *row[1:])


def listed(row: Sequence[Any]) -> Listed:
    """The conversation in a row of a listing."""
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
    id_, type_, received_at, status, handled_at, reason, body, by_operator = row
    handled = None if handled_at is None else from_micros(handled_at)
    return PastEvent(id_, type_, from_micros(received_at), status, handled, reason, body, bool(by_operator))


def _effect(row: Sequence[Any]) -> PastEffect:
    id_, kind, body, created_at, attempts, next_attempt, finished_at, outcome = row
    try:
        effect = load_effect(kind, body)
    except Unreadable:
        effect = None
    finished = None if finished_at is None else from_micros(finished_at)
    return PastEffect(
        id_, kind, effect, from_micros(created_at), attempts, from_micros(next_attempt), finished, outcome
    )


def _duty(row: Sequence[Any]) -> PastDuty | None:
    body, proof, closed_at = row
    try:
        duty = load_duty(body)
    except Unreadable:
        return None
    return PastDuty(duty, None if closed_at is None else Proof(proof or "", from_micros(closed_at)))


def _moment(row: Sequence[Any]) -> Moment:
    at, kind, text, who, since = row
    known = _KINDS.get(kind, MomentKind.REPORT)  # a newer version may know more
    return Moment(from_micros(at), known, text, _WHO.get(who), None if since is None else from_micros(since))
