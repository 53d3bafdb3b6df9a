"""Streams stored events for export, by conversation, time and state, while the bot runs."""

from __future__ import annotations

from collections.abc import Iterator

from bot.store.interface import StoredEvent
from bot.store.selection import Selection, State
from bot.store.sqlite import export as sqlite
from bot.store.url import is_postgres, sqlite_path

__all__ = ["Selection", "State", "stored_events"]


def stored_events(database_url: str, selection: Selection) -> Iterator[StoredEvent]:
    """Yield the selected events in order of arrival. An event of several conversations comes once.

    Raises:
        ValueError: the URL can't be used.
        Unavailable, SchemaMismatch: the database can't be read, or has another schema.
    """
    if is_postgres(database_url):
        from bot.store.postgres import export  # asyncpg only where it is used

        return export.stored_events(database_url, selection)
    return sqlite.stored_events(sqlite_path(database_url), selection)
