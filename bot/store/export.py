"""Stored events, read for export: by conversation, time and state, one after the other, beside a running bot."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from bot.store.interface import StoredEvent
from bot.store.times import to_micros
from bot.store.url import is_postgres, sqlite_path

State = Literal["pending", "handled", "set_aside"]


@dataclass(frozen=True, slots=True)
class Selection:
    """Which events; what is empty or None selects nothing away. `since` counts, `until` does not any more."""

    conversations: Sequence[str] = ()
    since: datetime | None = None
    until: datetime | None = None
    state: State | None = None

    @property
    def conditions(self) -> list[tuple[str, Any]]:
        """SQL with one `?` each, and its value. Many conversations are a condition of the engine's own."""
        times = [(f"received_at {sign} ?", to_micros(at)) for sign, at in ((">=", self.since), ("<", self.until)) if at]
        return times + ([("status = ?", self.state)] if self.state else [])


POSTED = "length(body) > 0 AND NOT by_operator"
"""What the platform has posted. Of what was given to several conversations, the copies have the body."""


def stored_events(database_url: str, selection: Selection) -> Iterator[StoredEvent]:
    """The selected events of a database in the order in which they came. An event that concerned several comes once.

    Raises:
        ValueError: the URL can't be used.
        Unavailable, SchemaMismatch: the database can't be read, or has another schema.
    """
    if is_postgres(database_url):
        from bot.store import postgres_export  # asyncpg only where it is used

        return postgres_export.stored_events(database_url, selection)
    from bot.store import sqlite_export

    return sqlite_export.stored_events(sqlite_path(database_url), selection)
