"""Migrations on PostgreSQL: once, however many processes try, and each of them whole or not at all.

Blocking, as alembic is. The SQL is alembic's; asyncpg runs it, so that no second driver is needed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from bot.store.interface import SchemaMismatch, StoreError
from bot.store.postgres_pool import Connection, Pool
from bot.store.schema import HEAD, problem_with
from bot.store.url import PostgresAddress, postgres_address

T = TypeVar("T")

_WAIT = 60  # seconds for the one that migrates
_ANSWER = 600.0  # seconds: an index on a large table takes its time
_LOCK = f"SET LOCAL lock_timeout = '{_WAIT}s'; SELECT pg_advisory_xact_lock(hashtext('switchboard-bot migrate'))"


def upgrade(database_url: str, script: Callable[..., str]) -> None:
    """Bring the schema to `HEAD`. `script(since, in_transaction=True)` gives the SQL.

    Raises:
        SchemaMismatch: the database is newer than this version of the bot.
        Unavailable: it is out of reach, or was locked for too long.
    """

    async def migrated(connection: Connection) -> None:
        await connection.execute(_LOCK)
        known = await revision(connection)
        if known == HEAD:
            return
        if known is not None and known > HEAD:
            raise SchemaMismatch(problem_with(known))
        await connection.execute(script(known, in_transaction=True))
        if (problem := problem_with(await revision(connection))) is not None:
            raise StoreError(f"the migrations ran, and yet {problem}")

    async def upgraded(pool: Pool) -> None:
        if await pool.run(revision) != HEAD:
            await pool.transaction(migrated)

    _run(postgres_address(database_url), upgraded)


def revision_of(database_url: str) -> str | None:
    """The revision that a database is at; None if it was never migrated. Raises `Unavailable`."""
    return _run(postgres_address(database_url), lambda pool: pool.run(revision))


async def revision(connection: Connection) -> str | None:
    """The revision that the database of a connection is at; None if it was never migrated."""
    if await connection.fetchval("SELECT to_regclass('alembic_version') IS NULL"):
        return None
    found: str | None = await connection.fetchval("SELECT version_num FROM alembic_version")
    return found


def _run(address: PostgresAddress, work: Callable[[Pool], Coroutine[Any, Any, T]]) -> T:
    """Run on a loop of its own, in a thread of its own: the caller may be within a loop."""

    async def connected() -> T:
        pool = Pool(address, answer=_ANSWER)
        await pool.start()
        try:
            return await work(pool)
        finally:
            await pool.stop()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: asyncio.run(connected())).result()
