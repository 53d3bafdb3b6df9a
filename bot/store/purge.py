"""Retention: deletes old data bit by bit, without table scans.

`conversations.kept_since` is when the oldest of what is kept about a conversation came, or later where a look at it was
put off. So the conversations to look at are the first ones of an index, whatever the size of the database.

What is left of it in PostgreSQL's files is PostgreSQL's own matter: its vacuum gives the room to new rows, and its log
and its backups have their own times. For SQLite's, see `sqlite.scrub`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from bot.store.asking import Asking, Each
from bot.store.codec import StateRow, load_conversation
from bot.store.rows import named_events
from bot.store.times import to_micros

ROWS = 500
"""So many rows of a table are looked at in one go for each conversation; the next go has the others."""

PUT_OFF = timedelta(days=1)
"""When a conversation of which something must stay is looked at again."""


@dataclass(frozen=True, slots=True)
class Words:
    """The engine's own statements, for the first `ROWS` rows of each conversation of `:ids`.

    Attributes:
        events: delete those from before `:before` that are not pending or `:named`; the conversation of each.
        effects: the same for effects.
        steps: the same for steps, but for those of the conversation's place in `:runs`.
        oldest: each conversation with the times of its oldest event, effect, and step (of other runs than `:runs`).
        all_events: delete events, whatever they are; the conversation of each.
    """

    events: str
    effects: str
    steps: str
    oldest: str
    all_events: str


KEPT = """
    SELECT id, state, holder, ended_at, released_at, updated_at FROM conversations
    WHERE kept_since < :before ORDER BY kept_since LIMIT :limit FOR UPDATE SKIP LOCKED
"""

DELETE_CONVERSATIONS = """
    DELETE FROM conversations
    WHERE id IN (SELECT value FROM json_each(:ids)) AND updated_at < :before
        AND due_at IS NULL AND duty_since IS NULL AND lease_until IS NULL
    RETURNING id
"""

DELETE_REST = (
    "DELETE FROM journal WHERE conversation_id IN (SELECT value FROM json_each(:ids))",
    "DELETE FROM duties WHERE conversation_id IN (SELECT value FROM json_each(:ids))",
    "DELETE FROM history WHERE conversation_id IN (SELECT value FROM json_each(:ids))",
    "DELETE FROM participants WHERE conversation_id IN (SELECT value FROM json_each(:ids))",
    "DELETE FROM contacts WHERE conversation_id IN (SELECT value FROM json_each(:ids))",
)

KEPT_SINCE = "UPDATE conversations SET kept_since = :since WHERE id = :id"

DELETE_APP_EVENTS = """
    DELETE FROM inbox WHERE seq IN (
        SELECT seq FROM (
            SELECT seq, status, received_at FROM inbox WHERE conversation_id IS NULL ORDER BY seq LIMIT :limit
        ) AS looked WHERE received_at < :before AND status <> 'pending'
    ) RETURNING seq
"""

OLD_REMOVALS = """
    SELECT conversation_id FROM removed WHERE at < :before ORDER BY at LIMIT :limit FOR UPDATE SKIP LOCKED
"""

DELETE_REMOVALS = "DELETE FROM removed WHERE conversation_id IN (SELECT value FROM json_each(:ids))"

DELETE_REMOVED_USERS = """
    DELETE FROM removed_users WHERE user_id IN (
        SELECT user_id FROM removed_users WHERE at < :before ORDER BY at LIMIT :limit
    ) RETURNING user_id
"""

DELETE_ACCESSES = """
    DELETE FROM audit WHERE seq IN (SELECT seq FROM audit WHERE seq > 0 ORDER BY seq LIMIT :limit) AND at < :before
    RETURNING seq
"""


def everything(words: Words, before: datetime, limit: int) -> Asking[int]:
    """Delete what is older and no longer needed. Return the numbers of conversations, events and removals."""
    looked_at = 0
    for part in PARTS:
        looked_at += yield from part(words, before, limit)
    return looked_at


def conversations(words: Words, before: datetime, limit: int) -> Asking[int]:
    """Delete a conversation's old events, effects and steps; all of it, once nothing is due and it is quiet."""
    at = to_micros(before)
    kept = [StateRow(*row) for row in (yield KEPT, {"before": at, "limit": limit})]
    if not kept:
        return 0
    ids = [row.id for row in kept]
    states = [load_conversation(row) for row in kept]
    values: dict[str, Any] = {"ids": ids, "before": at, "runs": [state.run and state.run.id for state in states]}
    values["named"] = [event_id for state in states for event_id in named_events(state)]
    deleted = []
    for statement in (words.events, words.effects, words.steps):
        rows = yield statement, values
        deleted.append(Counter(row[0] for row in rows))
    oldest = yield words.oldest, values
    left = {row[0]: min((time for time in row[1:] if time is not None), default=None) for row in oldest}
    over: set[str] = set()
    if empty := [id_ for id_ in ids if left[id_] is None]:
        rows = yield DELETE_CONVERSATIONS, {"ids": empty, "before": at}
        over = {row[0] for row in rows}
        for statement in DELETE_REST:
            yield statement, {"ids": sorted(over)}
    put_off = at + PUT_OFF // timedelta(microseconds=1)
    stay = [id_ for id_ in ids if id_ not in over and max(counted[id_] for counted in deleted) < ROWS]
    if stay:
        yield KEPT_SINCE, Each([{"id": id_, "since": max(put_off, left[id_] or 0)} for id_ in stay])
    return len(kept)


def app_events(_: Words, before: datetime, limit: int) -> Asking[int]:
    """Events that belong to no single conversation."""
    return len((yield DELETE_APP_EVENTS, {"before": to_micros(before), "limit": limit}))


def removals(words: Words, before: datetime, limit: int) -> Asking[int]:
    """Delete the event ids of removed conversations, then the record of their removal."""
    gone = [row[0] for row in (yield OLD_REMOVALS, {"before": to_micros(before), "limit": limit})]
    if gone:
        rows = yield words.all_events, {"ids": gone}
        events = Counter(row[0] for row in rows)
        yield DELETE_REMOVALS, {"ids": [id_ for id_ in gone if events[id_] < ROWS]}
    return len(gone)


def removed_users(_: Words, before: datetime, limit: int) -> Asking[int]:
    """People who were removed."""
    return len((yield DELETE_REMOVED_USERS, {"before": to_micros(before), "limit": limit}))


def accesses(_: Words, before: datetime, limit: int) -> Asking[int]:
    """Entries of the audit log."""
    return len((yield DELETE_ACCESSES, {"before": to_micros(before), "limit": limit}))


PARTS = (conversations, app_events, removals, removed_users, accesses)
"""Each by itself, all or nothing."""
