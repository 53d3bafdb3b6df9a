"""Checks whether a database has the schema of this version. Plain SQL: alembic stays out of the hot path."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from bot.store.interface import SchemaMismatch, Unavailable
from bot.store.url import is_postgres, sqlite_path

HEAD = "0011"
"""The newest revision in `bot/store/migrations/versions` (a test compares them)."""

TABLES = (
    "conversations",
    "inbox",
    "outbox",
    "journal",
    "duties",
    "participants",
    "contacts",
    "removed",
    "removed_users",
    "history",
    "audit",
    "ended_sessions",
)
"""All tables, so that statements find them in the bot's own schema on PostgreSQL (a test compares them)."""

VERSION_TABLE = "switchboard_bot_version"
FORMER_VERSION_TABLE = "alembic_version"
"""Up to revision 0004: alembic's own name for it, which any other program that uses alembic has as well."""

SAFE_TABLE = ("conversations", "conversations_safe")
"""A table and its constraint that no other program has: what tells our tables from others of the same names."""

_SQLITE_TABLES = """
    SELECT name, coalesce(sql, '') FROM sqlite_master
    WHERE type IN ('table', 'view') AND substr(name, 1, 7) <> 'sqlite_' ORDER BY rowid
"""


def problem_with(revision: str | None) -> str | None:
    """What is wrong with a database at this revision (None: it has none), and what to do; None if nothing is."""
    if revision == HEAD:
        return None
    if revision is None:
        return "the database has no tables yet: run `switchboard-bot migrate`"
    if revision < HEAD:
        return f"the database is at schema {revision}, this version needs {HEAD}: run `switchboard-bot migrate`"
    return f"the database is at schema {revision}, newer than this version's {HEAD}: update switchboard-bot"


def foreign_tables(names: Sequence[str]) -> str:
    """Return a few of these tables in words, as somebody else's."""
    return f"tables of another program ({', '.join(names[:3])}{', …' if len(names) > 3 else ''})"


def sqlite_problem(connection: sqlite3.Connection) -> str | None:
    """Return what keeps the bot from using a SQLite database, with the remedy; None if nothing does."""
    try:
        return problem_with(sqlite_revision(connection))
    except SchemaMismatch as error:
        return str(error)


def sqlite_revision(connection: sqlite3.Connection) -> str | None:
    """Return the revision that a SQLite database is at; None if it has no tables.

    Raises:
        SchemaMismatch: it is somebody else's.
    """
    version_table = sqlite_version_table(connection)
    row = connection.execute(f"SELECT version_num FROM {version_table}").fetchone() if version_table else None  # noqa: S608 - constants
    return None if row is None else str(row[0])


def sqlite_version_table(connection: sqlite3.Connection) -> str | None:
    """Return the name of the version table, today's or the former one; None if there are no tables at all.

    Raises:
        SchemaMismatch: there are tables, and none of them is ours.
    """
    tables = dict(connection.execute(_SQLITE_TABLES))
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


def current_problem(database_url: str) -> str | None:
    """What keeps the bot from using this database, in words with the remedy; None if nothing does. Blocking.

    Creates nothing. Raises what `sqlite_path` and `postgres_address` raise.
    """
    if is_postgres(database_url):
        return _postgres_problem(database_url)
    path = sqlite_path(database_url)
    if not path.exists():
        return f"there is no database {path} yet: run `switchboard-bot migrate`"
    try:
        with closing(sqlite3.connect(sqlite_uri(path), uri=True)) as connection:
            return sqlite_problem(connection)
    except sqlite3.Error as error:
        return f"the database {path} can't be read ({error}): is it a SQLite file, and may this user read it?"


def _postgres_problem(database_url: str) -> str | None:
    from bot.store.postgres_migrate import problem  # asyncpg only where it is used

    try:
        return problem(database_url)
    except Unavailable as error:
        return str(error)


def sqlite_uri(path: Path) -> str:
    """The URI that opens an existing file for reading and writing, and never makes one."""
    return path.absolute().as_uri() + "?mode=rw"
