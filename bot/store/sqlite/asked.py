"""Runs work for both engines on a connection to SQLite."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from typing import Any, TypeVar

from bot.store.asking import Ask, Each, Values, for_sqlite

T = TypeVar("T")


def answered(ask: Ask[T], connection: sqlite3.Connection) -> T:
    """Run it, and return its result."""
    asking = ask()
    try:
        statement, values = next(asking)
        while True:
            statement, values = asking.send(executed(connection, statement, values).fetchall())
    except StopIteration as over:
        result: T = over.value
        return result


def executed(connection: sqlite3.Connection, statement: str, values: Values | Each) -> sqlite3.Cursor:
    """Execute one statement of it."""
    text = for_sqlite(statement)
    if isinstance(values, Each):
        return connection.executemany(text, values.values)
    if isinstance(values, Mapping):
        return connection.execute(text, dict(zip(values, map(_as_json, values.values()), strict=True)))
    return connection.execute(text, [*map(_as_json, values)])


def _as_json(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, list) else value
