"""Queries beside the work on conversations, the same for both engines.

See `asking` for these words.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from bot.store.interface import Counts
from bot.store.times import to_micros

OVERDUE_AFTER = timedelta(minutes=1)
"""A duty that is owed for longer is overdue."""

CONVERSATIONS_OF = "SELECT conversation_id FROM participants WHERE user_id = ? ORDER BY conversation_id"

STATE = "SELECT id, state, holder, ended_at, released_at, updated_at FROM conversations WHERE id = ?"

COUNTS = """
    SELECT
        (SELECT count(*) FROM conversations WHERE held_since IS NOT NULL),
        (SELECT count(*) FROM conversations WHERE duty_since IS NOT NULL),
        (SELECT count(*) FROM conversations WHERE duty_since IS NOT NULL AND duty_since < :overdue),
        (SELECT min(duty_since) FROM conversations WHERE duty_since IS NOT NULL),
        (
            SELECT count(*) FROM conversations INDEXED BY conversations_open
            WHERE ended_at IS NOT NULL AND released_at IS NULL
        ),
        (SELECT count(*) FROM inbox WHERE status = 'set_aside'),
        (SELECT count(*) FROM inbox WHERE status = 'pending'),
        (SELECT count(*) FROM outbox WHERE status = 'open')
"""


FLOWS = """
    SELECT flow, flow_version, count(*) FROM conversations INDEXED BY conversations_flow
    WHERE run_id IS NOT NULL GROUP BY flow, flow_version
"""


def overdue_before(now: datetime) -> int:
    """Return a time in microseconds: a duty owed since before it is overdue."""
    return to_micros(now - OVERDUE_AFTER)


def counts_of(row: Sequence[Any], flows: Iterable[Sequence[Any]], now: datetime) -> Counts:
    """Build the counts from the row of `COUNTS` and the rows of `FLOWS`."""
    held, owed, overdue, oldest, ended_open, set_aside, inbox, outbox = row
    age = 0.0 if oldest is None else max(0.0, (to_micros(now) - oldest) / 1_000_000)
    at_work = {(flow, version): count for flow, version, count in flows}
    return Counts(held, owed, overdue, age, ended_open, set_aside, inbox, outbox, at_work)
