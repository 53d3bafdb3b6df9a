"""The export of stored events from SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from bot.store.export import POSTED, Selection
from bot.store.interface import SchemaMismatch, StoredEvent
from bot.store.rows import EVENT, event_of
from bot.store.schema import sqlite_problem, sqlite_uri
from bot.store.sqlite_errors import explain


def stored_events(path: Path, selection: Selection) -> Iterator[StoredEvent]:
    """See `bot.store.export.stored_events`."""
    try:
        with closing(sqlite3.connect(sqlite_uri(path), uri=True)) as connection:
            connection.execute("PRAGMA query_only = ON")
            if (problem := sqlite_problem(connection)) is not None:
                raise SchemaMismatch(problem)
            where, values = _where(selection)
            query = f"SELECT {EVENT} FROM inbox WHERE {where} ORDER BY received_at, seq"  # noqa: S608 - only constants
            for row in connection.execute(query, values):
                yield event_of(row)
    except sqlite3.Error as error:
        raise explain(error, str(path)) from error


def _where(selection: Selection) -> tuple[str, list[Any]]:
    clauses = [POSTED, *(clause for clause, _ in selection.conditions)]
    values = [value for _, value in selection.conditions]
    if selection.conversations:
        clauses.append(f"conversation_id IN ({', '.join('?' * len(selection.conversations))})")
        values += selection.conversations
    return " AND ".join(clauses), values
