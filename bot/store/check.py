"""Checks whether the bot can use the database at a URL."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from bot.store.interface import Unavailable
from bot.store.sqlite.schema import problem_of, uri
from bot.store.url import is_postgres, sqlite_path


def current_problem(database_url: str) -> str | None:
    """Return what keeps the bot from using this database, and the remedy; None if it is usable. Blocking.

    Creates nothing. Raises what `sqlite_path` and `postgres_address` raise.
    """
    if is_postgres(database_url):
        from bot.store.postgres.migrate import problem  # asyncpg only where it is used

        try:
            return problem(database_url)
        except Unavailable as error:
            return str(error)
    path = sqlite_path(database_url)
    if not path.exists():
        return f"there is no database {path} yet: run `switchboard-bot migrate`"
    try:
        with closing(sqlite3.connect(uri(path), uri=True)) as connection:
            return problem_of(connection)
    except sqlite3.Error as error:
        return f"the database {path} can't be read ({error}): is it a SQLite file, and may this user read it?"
