"""Checks whether a SQLite file has this version's schema."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from bot.store.interface import SchemaMismatch
from bot.store.schema import FORMER_VERSION_TABLE, SAFE_TABLE, VERSION_TABLE, foreign_tables, problem_with

_TABLES = """
    SELECT name, coalesce(sql, '') FROM sqlite_master
    WHERE type IN ('table', 'view') AND substr(name, 1, 7) <> 'sqlite_' ORDER BY rowid
"""


def problem_of(connection: sqlite3.Connection) -> str | None:
    """Return what keeps the bot from using a SQLite database, with the remedy; None if nothing does."""
    try:
        return problem_with(revision(connection))
    except SchemaMismatch as error:
        return str(error)


def revision(connection: sqlite3.Connection) -> str | None:
    """Return the revision that a SQLite database is at; None if it has no tables.

    Raises:
        SchemaMismatch: it is somebody else's.
    """
    table = version_table(connection)
    row = connection.execute(f"SELECT version_num FROM {table}").fetchone() if table else None  # noqa: S608 - constants
    return None if row is None else str(row[0])


def version_table(connection: sqlite3.Connection) -> str | None:
    """Return the name of the version table, today's or the former one; None if there are no tables at all.

    Raises:
        SchemaMismatch: there are tables, and none of them is ours.
    """
    tables = dict(connection.execute(_TABLES))
    if VERSION_TABLE in tables:
        return VERSION_TABLE
    table, constraint = SAFE_TABLE
    if FORMER_VERSION_TABLE in tables and constraint in tables.get(table, ""):
        return FORMER_VERSION_TABLE
    if tables:
        raise SchemaMismatch(
            f"the file holds {foreign_tables([*tables])}: give the bot a file of its own in DATABASE_URL"
        )
    return None


def uri(path: Path) -> str:
    """The URI that opens an existing file for reading and writing, and never makes one."""
    return path.absolute().as_uri() + "?mode=rw"
