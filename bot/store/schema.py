"""Does a database have the schema that this version expects? Plain SQL: alembic stays out of the hot path."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from bot.store.interface import Unavailable
from bot.store.url import is_postgres, sqlite_path

HEAD = "0004"
"""The newest revision in `bot/store/migrations/versions` (a test compares them)."""


def problem_with(revision: str | None) -> str | None:
    """What is wrong with a database at this revision (None: it has none), and what to do; None if nothing is."""
    if revision == HEAD:
        return None
    if revision is None:
        return "the database has no tables yet: run `switchboard-bot migrate`"
    if revision < HEAD:
        return f"the database is at schema {revision}, this version needs {HEAD}: run `switchboard-bot migrate`"
    return f"the database is at schema {revision}, newer than this version's {HEAD}: update switchboard-bot"


def sqlite_revision(connection: sqlite3.Connection) -> str | None:
    """The revision that a SQLite database is at; None if it was never migrated."""
    known = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone()
    row = connection.execute("SELECT version_num FROM alembic_version").fetchone() if known else None
    return None if row is None else str(row[0])


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
            return problem_with(sqlite_revision(connection))
    except sqlite3.Error as error:
        return f"the database {path} can't be read ({error}): is it a SQLite file, and may this user read it?"


def _postgres_problem(database_url: str) -> str | None:
    from bot.store.postgres_migrate import revision_of  # asyncpg only where it is used

    try:
        return problem_with(revision_of(database_url))
    except Unavailable as error:
        return str(error)


def sqlite_uri(path: Path) -> str:
    """The URI that opens an existing file for reading and writing, and never makes one."""
    return path.absolute().as_uri() + "?mode=rw"
