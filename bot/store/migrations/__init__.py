"""Brings a database's schema up to date, once, however many processes try at the same time.

A new migration is written by hand for both dialects: copy the newest file in `versions`, give it the next number as
`revision` and the last one as `down_revision`, and set `bot.store.schema.HEAD` to it. It can't look at rows, because
PostgreSQL is given its SQL as a script. There is no way down: a bot that could forget a column could forget what it
owes. Restore a backup instead.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from functools import lru_cache
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

from bot.store.interface import SchemaMismatch, StoreError
from bot.store.schema import HEAD, current_problem, problem_with, sqlite_revision
from bot.store.sqlite_errors import explain
from bot.store.url import is_postgres, sqlite_path

if TYPE_CHECKING:
    from alembic.config import Config

_LOCK_SECONDS = 60.0
_ALEMBIC = threading.Lock()  # alembic's `op` and `context` are global to the process


def migrate(database_url: str) -> None:
    """Make the database if there is none, and bring its schema to `HEAD`. Does nothing where it is current.

    Blocking: call it before the event loop runs, or in a thread. Processes that race wait for the first one.

    Raises:
        SchemaMismatch: the database is newer than this version of the bot.
        Unavailable: it can't be opened, written, or locked within a minute.
    """
    if is_postgres(database_url):
        from bot.store.postgres_migrate import upgrade  # asyncpg only where it is used

        upgrade(database_url, postgresql_script)
        return
    path = sqlite_path(database_url)
    if current_problem(database_url) is None:
        return
    try:
        connection = sqlite3.connect(path, timeout=_LOCK_SECONDS, isolation_level=None)
    except sqlite3.Error as error:
        raise explain(error, str(path)) from error
    try:
        enable_wal(connection)
        _upgrade(connection)
    except sqlite3.Error as error:
        raise explain(error, str(path)) from error
    finally:
        connection.close()


def enable_wal(connection: sqlite3.Connection) -> None:
    """Switch a database to write-ahead logging, which it remembers.

    SQLite answers "locked" at once, without its busy handler, while another process switches: so try for ten seconds.
    """
    for _ in range(200):
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                raise
            time.sleep(0.05)
        else:
            return
    connection.execute("PRAGMA journal_mode = WAL")


@lru_cache(maxsize=1)
def empty_database() -> bytes:
    """A migrated SQLite database without rows, as the bytes of its file: for `:memory:` and for tests."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    try:
        _upgrade(connection)
        return connection.serialize()
    finally:
        connection.close()


def postgresql_script(since: str | None = None, *, in_transaction: bool = False) -> str:
    """The SQL that all migrations together run on PostgreSQL, or those since a revision.

    Args:
        since: the revision at which the database is.
        in_transaction: a transaction has begun and will be committed by the caller.
    """
    from alembic import command

    script = StringIO()
    config = configuration()
    config.output_buffer = script
    config.set_main_option("sqlalchemy.url", "postgresql://")
    config.attributes["in_transaction"] = in_transaction
    with _ALEMBIC:
        command.upgrade(config, f"{since}:head" if since else "head", sql=True)
    return script.getvalue()


def configuration() -> Config:
    """Alembic's configuration; there is no alembic.ini, so that it works from an installed wheel."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _upgrade(raw: sqlite3.Connection) -> None:
    """Run what is missing in one transaction. The lock comes first, so that a second process finds nothing to do."""
    from alembic import command
    from sqlalchemy import create_engine
    from sqlalchemy.pool import StaticPool

    engine = create_engine("sqlite://", creator=lambda: raw, poolclass=StaticPool)
    with _ALEMBIC, engine.connect() as connection:  # leaving it early rolls back
        connection.exec_driver_sql("BEGIN EXCLUSIVE")
        revision = sqlite_revision(raw)
        if revision is not None and revision > HEAD:
            raise SchemaMismatch(problem_with(revision))
        config = configuration()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")  # sees the transaction, and leaves it to us
        if (problem := problem_with(sqlite_revision(raw))) is not None:
            raise StoreError(f"the migrations ran, and yet {problem}")
        connection.commit()
