"""Migrations on PostgreSQL: once, even if many processes try, and each all or nothing.

Blocking, as alembic is. The SQL is alembic's; asyncpg runs it, so that no second driver is needed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from bot.signals import Observe, silent
from bot.store.interface import SchemaMismatch, StoreError
from bot.store.postgres.connection import Connection
from bot.store.postgres.pool import Pool
from bot.store.postgres.schema import enter, problem_of, revision
from bot.store.schema import HEAD, problem_with
from bot.store.url import PostgresAddress, postgres_address

T = TypeVar("T")

_WAIT = 60  # seconds for the one that migrates
_ANSWER = 600.0  # seconds: an index on a large table takes its time
_LOCK = f"""
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
    SET LOCAL lock_timeout = '{_WAIT}s';
    SELECT pg_advisory_xact_lock(hashtext('switchboard-bot migrate'))
"""
# Read committed, whatever the database's default: what the one before us has committed must be seen after the wait.


def upgrade(database_url: str, script: Callable[..., str], observe: Observe) -> None:
    """Bring the schema to `HEAD`. `script(since, in_transaction=True)` gives the SQL.

    Raises:
        SchemaMismatch: the database is newer than this version of the bot, or its schema is somebody else's.
        Unavailable: it is out of reach, or was locked for too long.
    """

    async def migrated(connection: Connection) -> None:
        await connection.execute(_LOCK)
        known = await revision(connection)
        if known == HEAD:
            return
        if known is not None and known > HEAD:
            raise SchemaMismatch(problem_with(known))
        await enter(connection)
        await connection.execute(script(known, in_transaction=True))
        if (left := await problem_of(connection)) is not None:
            raise StoreError(f"the migrations ran, and yet {left}")

    async def upgraded(pool: Pool) -> None:
        if await pool.run(revision) != HEAD:
            await pool.transaction(migrated)

    _run(postgres_address(database_url), upgraded, observe)


def problem(database_url: str) -> str | None:
    """Return what keeps the bot from using a database, with the remedy. Raises `Unavailable`."""
    return _run(postgres_address(database_url), lambda pool: pool.run(problem_of))


def _run(address: PostgresAddress, work: Callable[[Pool], Coroutine[Any, Any, T]], observe: Observe = silent) -> T:
    """Run on a loop in a new thread, because the caller may be within a loop."""

    async def connected() -> T:
        pool = Pool(address, answer=_ANSWER, observe=observe)
        await pool.start()
        try:
            return await work(pool)
        finally:
            await pool.stop()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: asyncio.run(connected())).result()
