"""The inbox on SQLite: stores events, and sets them aside. Each function is one operation."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

from bot.store.codec import unicode
from bot.store.rows import ERASED, posted_row
from bot.store.sqlite.writer import Operation, Statement
from webhooks.inbox import NewEvent

_ROWS_A_STATEMENT = 128  # of up to seven columns: SQLite may be built for as few as 999 variables

_SET_ASIDE = """
    UPDATE inbox SET status = 'set_aside', reason = ? WHERE id = ? AND status = 'pending'
"""

_ERASE_IF_REMOVED = """
    UPDATE inbox SET reason = ?, body = x'' WHERE id = ? AND status = 'set_aside' AND EXISTS (
        SELECT 1 FROM json_tree(iif(json_valid(CAST(body AS TEXT)), CAST(body AS TEXT), 'null')) AS part
        CROSS JOIN removed_users WHERE user_id = part.atom
    )
"""

_ERASE_SET_ASIDE = """
    UPDATE inbox SET reason = ?, body = x'' WHERE status = 'set_aside' AND instr(body, CAST(json_quote(?) AS BLOB))
"""


def receiving(events: Sequence[NewEvent]) -> Operation[int]:
    """What stores the events that are not known yet, and tells how many were new."""
    rows = [posted_row(event) for event in events]
    into = "inbox (id, conversation_id, type, body, received_at, said_id)"
    return inserting(into, rows, "ON CONFLICT DO NOTHING")  # the same event, or the same message under another id


def set_aside(connection: sqlite3.Connection, event_id: str, reason: str) -> None:
    """Set an event aside, with the reason. Empty it if it contains the id of a removed person."""
    connection.execute(_SET_ASIDE, (unicode(reason), event_id))
    erase_if_removed(connection, event_id)


def erase_if_removed(connection: sqlite3.Connection, event_id: str) -> None:
    """Empty an event that was set aside if it contains the id of a removed person."""
    connection.execute(_ERASE_IF_REMOVED, (ERASED, event_id))


def erase_set_aside(connection: sqlite3.Connection, user_id: str) -> int:
    """Empty the events that were set aside and name a person anywhere; return how many there were."""
    return connection.execute(_ERASE_SET_ASIDE, (ERASED, unicode(user_id))).rowcount


def ids_as_json(ids: Iterable[str]) -> str:
    """Return ids as a JSON list for `json_each`: one parameter for any number of ids."""
    return json.dumps(list(ids))


def inserting(into: str, rows: Sequence[tuple[Any, ...]], rest: str = "") -> Operation[int]:
    """What inserts rows with as few statements as can be, each of which is a way to SQLite and back; how many are new.

    Args:
        into: the table and its columns, at most seven.
        rows: a value for each of the columns.
        rest: of the statement.
    """
    statements = []
    for start in range(0, len(rows), _ROWS_A_STATEMENT):
        chunk = rows[start : start + _ROWS_A_STATEMENT]
        sql = f"{_insert(into, len(chunk[0]), len(chunk))} {rest}"
        statements.append(Statement(sql, [*chain.from_iterable(chunk)]))
    if len(statements) == 1:
        return statements[0]
    return lambda connection: sum(statement(connection) for statement in statements)


@lru_cache(maxsize=2 * _ROWS_A_STATEMENT)
def _insert(into: str, columns: int, rows: int) -> str:
    row = f"({', '.join('?' * columns)})"
    return f"INSERT INTO {into} VALUES {', '.join([row] * rows)}"  # noqa: S608 - only constants
