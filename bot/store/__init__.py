"""The stores on SQLite and PostgreSQL behind one interface, and their migrations."""

from __future__ import annotations

from bot.signals import Observe, silent
from bot.store.check import current_problem
from bot.store.database import Database
from bot.store.interface import (
    Change,
    CleanUp,
    Counts,
    Done,
    Effect,
    JournalEntry,
    Lease,
    LeaseLost,
    Say,
    SchemaMismatch,
    Store,
    StoredEvent,
    StoreError,
    Unavailable,
    UnsafeState,
    Work,
)
from bot.store.migrations import migrate
from bot.store.sqlite.store import SqliteStore
from bot.store.url import is_postgres, sqlite_path

__all__ = [
    "Change",
    "CleanUp",
    "Counts",
    "Database",
    "Done",
    "Effect",
    "JournalEntry",
    "Lease",
    "LeaseLost",
    "Say",
    "SchemaMismatch",
    "SqliteStore",
    "Store",
    "StoreError",
    "StoredEvent",
    "Unavailable",
    "UnsafeState",
    "Work",
    "current_problem",
    "migrate",
    "open_store",
]


def open_store(database_url: str, observe: Observe = silent) -> Database:
    """Return the store that a `DATABASE_URL` names, not started yet.

    Args:
        database_url: `sqlite:///relative.db`, `sqlite:////absolute.db`, or `postgresql://user:password@host/database`.
        observe: gets what is to be told, on any thread.

    Raises:
        ValueError: it is none that can be used; the message says what to write.
    """
    if is_postgres(database_url):
        from bot.store.postgres.store import PostgresStore  # asyncpg only where it is used

        return PostgresStore(database_url, observe=observe)
    return SqliteStore(sqlite_path(database_url), observe=observe)
