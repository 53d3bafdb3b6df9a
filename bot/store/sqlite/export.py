"""The export of stored events from SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from bot.store.interface import SchemaMismatch, StoredEvent
from bot.store.rows import event_of
from bot.store.selection import Selection
from bot.store.sqlite.asked import executed
from bot.store.sqlite.errors import explain
from bot.store.sqlite.schema import problem_of, uri


def stored_events(path: Path, selection: Selection) -> Iterator[StoredEvent]:
    """See `bot.store.export.stored_events`."""
    try:
        with closing(sqlite3.connect(uri(path), uri=True)) as connection:
            connection.execute("PRAGMA query_only = ON")
            if (problem := problem_of(connection)) is not None:
                raise SchemaMismatch(problem)
            for row in executed(connection, *selection.query()):
                yield event_of(row[1:])
    except sqlite3.Error as error:
        raise explain(error, str(path)) from error
