"""Stored events, read for export: by conversation, time and state, one after the other, beside a running bot."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from bot.store.interface import SchemaMismatch, StoredEvent
from bot.store.rows import EVENT, event_of
from bot.store.schema import problem_with, sqlite_revision, sqlite_uri
from bot.store.sqlite_errors import explain
from bot.store.times import to_micros

State = Literal["pending", "handled", "set_aside"]


@dataclass(frozen=True, slots=True)
class Selection:
    """Which events; what is empty or None selects nothing away. `since` counts, `until` does not any more."""

    conversations: Sequence[str] = ()
    since: datetime | None = None
    until: datetime | None = None
    state: State | None = None


def stored_events(path: Path, selection: Selection) -> Iterator[StoredEvent]:
    """The selected events of a database in the order in which they came. An event that concerned several comes once.

    Raises:
        Unavailable: the database can't be read, or has another schema.
    """
    try:
        with closing(sqlite3.connect(sqlite_uri(path), uri=True)) as connection:
            connection.execute("PRAGMA query_only = ON")
            if (problem := problem_with(sqlite_revision(connection))) is not None:
                raise SchemaMismatch(problem)
            where, values = _where(selection)
            query = f"SELECT {EVENT} FROM inbox WHERE {where} ORDER BY received_at, seq"  # noqa: S608 - only constants
            for row in connection.execute(query, values):
                yield event_of(row)
    except sqlite3.Error as error:
        raise explain(error, str(path)) from error


def _where(selection: Selection) -> tuple[str, list[Any]]:
    # of what was given to several conversations, the copies have the body; what operators ask is no delivery
    clauses = ["length(body) > 0", "by_operator = 0"]
    values: list[Any] = []
    if selection.conversations:
        clauses.append(f"conversation_id IN ({', '.join('?' * len(selection.conversations))})")
        values += selection.conversations
    if selection.since:
        clauses.append("received_at >= ?")
        values.append(to_micros(selection.since))
    if selection.until:
        clauses.append("received_at < ?")
        values.append(to_micros(selection.until))
    if selection.state:
        clauses.append("status = ?")
        values.append(selection.state)
    return " AND ".join(clauses), values
