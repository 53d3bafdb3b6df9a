"""App-level events: find them, and copy them to the conversations they concern."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from bot.store.asking import Asking, Each
from bot.store.codec import unicode
from bot.store.interface import StoredEvent
from bot.store.rows import EVENT, event_of
from bot.store.times import to_micros

_REMOVALS = f"""
    SELECT {EVENT} FROM inbox INDEXED BY inbox_removals
    WHERE status = 'pending' AND conversation_id IS NULL AND type = 'user:remove' ORDER BY seq LIMIT ?
"""  # noqa: S608 - only constants

_OTHERS = f"""
    SELECT {EVENT} FROM inbox WHERE status = 'pending' AND conversation_id IS NULL ORDER BY seq LIMIT ?
"""  # noqa: S608 - only constants

_COPY = """
    INSERT INTO inbox (id, conversation_id, type, body, received_at) VALUES (:id, :conversation_id, :type, :body, :at)
    ON CONFLICT (id) DO NOTHING
"""

# Those that are at work now look for events by themselves.
_FIRST = """
    UPDATE conversations SET due_at = 0 WHERE id IN (
        SELECT id FROM conversations
        WHERE id IN (SELECT value FROM json_each(?)) AND lease_until IS NULL FOR UPDATE SKIP LOCKED
    )
"""

_SPREAD = """
    UPDATE inbox SET status = 'handled', handled_at = :now, body = :empty WHERE id = :id AND status = 'pending'
"""


def waiting(limit: int) -> Asking[list[StoredEvent]]:
    """Return waiting removals of people; if there are none, the oldest other app-level events."""
    rows = (yield _REMOVALS, (limit,)) or (yield _OTHERS, (limit,))
    return [event_of(tuple(row)) for row in rows]


def spread(event: StoredEvent, conversation_ids: Sequence[str], now: datetime) -> Asking[None]:
    """Give each conversation a copy. The original keeps only its id, because the copies have the body.

    The conversations are claimed before all others, so that an erasure waits behind nothing.
    """
    concerned = sorted(map(unicode, conversation_ids))
    common = {"type": event.type, "body": event.body, "at": to_micros(event.received_at)}
    if concerned:
        copies = [common | {"id": f"{event.id}:{id_}", "conversation_id": id_} for id_ in concerned]
        yield _COPY, Each(copies)
        yield _FIRST, (concerned,)
    yield _SPREAD, {"now": to_micros(now), "empty": b"", "id": event.id}
