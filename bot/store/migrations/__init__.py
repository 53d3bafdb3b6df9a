"""Brings a database's schema up to date, once, even if many processes try at the same time.

A new migration is written by hand for both dialects: copy the newest file in `versions`, give it the next number as
`revision` and the last one as `down_revision`, set `bot.store.schema.HEAD` to it, and write `sqlite.sql` anew with
`python -m bot.store.migrations.whole` (a test compares it with the migrations). A migration can't look at rows, because
PostgreSQL is given its SQL as a script. There is no way down: a bot that could forget a column could forget what it
owes. Restore a backup instead.

A new SQLite database is made from `sqlite.sql`, the schema that all migrations together make: loading Alembic would
take longer than the rest of a start.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from contextlib import closing, suppress
from functools import lru_cache
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

from bot.private_files import make_private
from bot.signals import Observe, silent
from bot.store.check import current_problem
from bot.store.interface import SchemaMismatch, StoreError
from bot.store.schema import (
    FORMER_VERSION_TABLE,
    HEAD,
    VERSION_TABLE,
    problem_with,
)
from bot.store.sqlite import schema as sqlite
from bot.store.sqlite.errors import explain
from bot.store.sqlite.files import close_files
from bot.store.sqlite.locks import wait_is_told
from bot.store.url import is_postgres, sqlite_path

if TYPE_CHECKING:
    from alembic.config import Config

WHOLE = Path(__file__).parent / "sqlite.sql"
"""The schema of `HEAD`, for SQLite."""

_LOCK_SECONDS = 60.0  # for another process that migrates
_READ_SECONDS = 5.0  # where nobody has a reason to lock for longer
_WAL_SECONDS = 10.0
_ALEMBIC = threading.Lock()  # alembic's `op` and `context` are global to the process


def migrate(database_url: str, observe: Observe = silent) -> None:
    """Create the database if there is none, and bring its schema to `HEAD`. Does nothing if it is current.

    Blocking: call it before the event loop runs, or in a thread. Processes that race wait for the first one.

    Args:
        database_url: as for `open_store`.
        observe: gets what is to be told meanwhile.

    Raises:
        SchemaMismatch: the database is newer than this version of the bot, or somebody else's.
        Unavailable: it can't be opened, written, or locked within a minute.
    """
    if is_postgres(database_url):
        from bot.store.postgres.migrate import upgrade  # asyncpg only where it is used

        upgrade(database_url, postgresql_script, observe)
        return
    path = sqlite_path(database_url)
    if current_problem(database_url) is None:
        return
    try:
        with closing(_connected(path)) as connection:
            sqlite.version_table(connection)  # raises before anything is changed in somebody else's file
            close_files(path, observe)
            with wait_is_told(path, observe):
                enable_wal(connection)
            connection.execute(f"PRAGMA busy_timeout = {round(_LOCK_SECONDS * 1000)}")
            if not _makes_new(connection, path, observe):
                run_migrations(connection, path, observe)
    except (OSError, sqlite3.Error) as error:
        raise explain(error, str(path)) from error


def _connected(path: Path) -> sqlite3.Connection:
    with suppress(OSError):  # SQLite's own error says more
        make_private(path)
    return sqlite3.connect(path, timeout=_READ_SECONDS, isolation_level=None)


def enable_wal(connection: sqlite3.Connection) -> None:
    """Switch a database to write-ahead logging, which it remembers.

    SQLite answers "locked" at once, without its busy handler, while another process switches: so try for ten seconds.
    """
    until = time.monotonic() + _WAL_SECONDS
    for _ in range(200):
        if time.monotonic() > until:
            break
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
    """Return the file of a migrated SQLite database without rows, for `:memory:` and for tests."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        _make(connection)
        return connection.serialize()


def _make(connection: sqlite3.Connection) -> None:
    """Create the schema of `HEAD` in an empty database."""
    statement = ""
    for line in WHOLE.read_text(encoding="utf-8").splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            connection.execute(statement)
            statement = ""
    connection.execute(f"INSERT INTO {VERSION_TABLE} VALUES (?)", (HEAD,))  # noqa: S608 - constant


def postgresql_script(since: str | None = None, *, in_transaction: bool = False) -> str:
    """Return the SQL of all migrations on PostgreSQL, or of those after a revision.

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


def _makes_new(connection: sqlite3.Connection, path: Path, observe: Observe) -> bool:
    """Create the schema if there is none. Takes the lock first, so that a second process finds nothing to do."""
    with wait_is_told(path, observe):
        connection.execute("BEGIN EXCLUSIVE")
    try:
        if sqlite.version_table(connection) is not None:
            return False
        _make(connection)
        connection.execute("COMMIT")
        return True
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def run_migrations(raw: sqlite3.Connection, path: Path, observe: Observe = silent) -> None:
    """Run the missing migrations in one transaction, under the same lock."""
    from alembic import command
    from sqlalchemy import create_engine
    from sqlalchemy.pool import StaticPool

    engine = create_engine("sqlite://", creator=lambda: raw, poolclass=StaticPool)
    with _ALEMBIC, engine.connect() as connection:  # leaving it early rolls back
        with wait_is_told(path, observe):
            connection.exec_driver_sql("BEGIN EXCLUSIVE")
        if sqlite.version_table(raw) == FORMER_VERSION_TABLE:
            connection.exec_driver_sql(f"ALTER TABLE {FORMER_VERSION_TABLE} RENAME TO {VERSION_TABLE}")
        revision = sqlite.revision(raw)
        if revision is not None and revision > HEAD:
            raise SchemaMismatch(problem_with(revision))
        config = configuration()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")  # sees the transaction, and leaves it to us
        if (problem := sqlite.problem_of(raw)) is not None:
            raise StoreError(f"the migrations ran, and yet {problem}")
        connection.commit()
