"""Connections to PostgreSQL: opened on demand, with bounded waits, dropped when in doubt."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

import asyncpg
from asyncpg.exceptions import ProtocolViolationError

from bot.signals import Level, Observe, Signal, silent
from bot.store.interface import Unavailable
from bot.store.postgres.connection import Connection
from bot.store.postgres.errors import AGAIN, ENDED, explain
from bot.store.postgres.schema import qualified
from bot.store.url import PostgresAddress

T = TypeVar("T")

CONNECT = 5.0  # seconds to open a connection
ANSWER = 10.0  # seconds for the answer to a statement; the platform waits 20 for its webhook
LOCK = 0.2  # of that, for a lock: whose row somebody keeps locked must not hold up those that are written beside it
_SERVER = 0.9  # of that, after which the server gives up by itself: what went on without us could undo newer things
_ENDING = 1.0  # seconds to have it cancelled, and to say goodbye
_TRIES = 5  # where two transactions were in each other's way

# A client that stands still in the middle of a transaction loses it, and with it what it has locked.
_BEGIN = "BEGIN; SET LOCAL idle_in_transaction_session_timeout = '10s'"

# One plan for each statement: they are written so that it is always the same one, and planning costs more than running.
_SESSION = {"application_name": "switchboard-bot", "plan_cache_mode": "force_generic_plan", "jit": "off"}

logging.getLogger("asyncpg.pool").setLevel(logging.ERROR)  # each try to connect again; the bot itself tells it once


Operation = Callable[[Connection], Awaitable[T]]


class _BareConnection(asyncpg.Connection):  # type: ignore[misc]  # asyncpg has no types
    """A connection that needs no reset between operations."""

    def get_reset_query(self) -> str:
        """Do nothing, which saves a round trip per operation."""
        return ""


class _Ours:
    """Open a connection that finds our tables in our schema (see `schema`)."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw

    async def fetch(self, statement: str, *values: Any) -> list[Any]:
        """See `Connection`."""
        rows: list[Any] = await self._raw.fetch(qualified(statement), *values)
        return rows

    async def fetchval(self, statement: str, *values: Any) -> Any:
        """See `Connection`."""
        return await self._raw.fetchval(qualified(statement), *values)

    async def executemany(self, statement: str, values: Sequence[Sequence[Any]]) -> None:
        """See `Connection`."""
        await self._raw.executemany(qualified(statement), values)

    async def execute(self, statement: str, *values: Any) -> str:
        """See `Connection`."""
        status: str = await self._raw.execute(qualified(statement), *values)
        return status


class Pool:
    """The connections of one process.

    Behind a proxy that pools transactions nothing may be left on a connection, so that nothing is prepared there, and
    nothing set. Whether there is one shows at the start: such proxies refuse the settings.
    """

    def __init__(self, address: PostgresAddress, *, answer: float = ANSWER, observe: Observe = silent) -> None:
        self.place = address.place
        self.pooled = bool(address.pooled)
        self._address = address
        self._answer = answer
        self._observe = observe
        self._pool: asyncpg.Pool | None = None

    @property
    def listens_at(self) -> str | None:
        """The address for wake-ups; None behind a proxy that can't forward them."""
        return self._address.listen or (None if self.pooled else self._address.dsn)

    async def start(self) -> None:
        """Open the first connection. Raises `Unavailable`."""
        if self._address.ignored:
            fields = {"options": self._address.ignored}
            self._observe(Signal("database_options_ignored", Level.WARNING, fields=fields))
        try:
            self._pool = await self._opened()
        except ProtocolViolationError as error:
            if self._address.pooled is not None:
                raise explain(error, self.place) from error
            self.pooled = True
            self._pool = await self._opened_or_explained()
        except Exception as error:
            raise self._explained(error, opening=True) from error

    async def stop(self) -> None:
        """Wait a bounded time for running operations, and close."""
        pool, self._pool = self._pool, None
        if pool is None:
            return
        try:
            async with asyncio.timeout(self._answer):
                await pool.close()
        except Exception:  # noqa: BLE001 - it is over either way
            pool.terminate()

    async def run(self, operation: Operation[T]) -> T:
        """Run an operation: a single statement, or several that need no common transaction.

        Raises:
            Unavailable: it may have happened all the same, if the connection broke before the answer came.
        """
        for left in reversed(range(_TRIES)):
            try:
                async with self._connection() as connection:
                    return await operation(connection)
            except AGAIN as error:
                if not left:
                    raise self._explained(error) from error
                await asyncio.sleep(random.uniform(0.001, 0.05))  # noqa: S311 - so that the two don't meet again
            except Exception as error:
                explained = self._explained(error)
                if explained is error:
                    raise
                raise explained from error
        raise AssertionError

    async def transaction(self, operation: Operation[T]) -> T:
        """Run an operation of several statements, all or none. Raises as `run` does."""

        async def whole(connection: Connection) -> T:
            await connection.execute(_BEGIN)
            try:
                result = await operation(connection)
            except asyncpg.PostgresError:
                with suppress(asyncpg.PostgresError):
                    await connection.execute("ROLLBACK")
                raise
            await connection.execute("COMMIT")
            return result

        return await self.run(whole)

    async def fetch(self, statement: str, *values: Any) -> list[Any]:
        """Return the rows of one statement."""
        return await self.run(lambda connection: connection.fetch(statement, *values))

    async def execute(self, statement: str, *values: Any) -> int:
        """Return how many rows one statement touched."""
        status = await self.run(lambda connection: connection.execute(statement, *values))
        return int(status.rpartition(" ")[2])

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        if self._pool is None:
            raise Unavailable("the store is not open")
        pool = self._pool
        connection = await pool.acquire(timeout=CONNECT + self._answer)
        try:
            yield _Ours(connection)
        except BaseException as error:
            if not isinstance(error, asyncpg.PostgresError) or isinstance(error, ENDED):
                await _end(connection)  # nobody knows what it still does; other errors leave it as good as before
            raise
        finally:
            with suppress(Exception):
                await pool.release(connection, timeout=self._answer)

    async def _opened(self) -> asyncpg.Pool:
        pool: asyncpg.Pool = asyncpg.create_pool(
            self._address.dsn,
            min_size=1,
            max_size=self._address.pool,
            timeout=CONNECT,
            command_timeout=self._answer,
            connection_class=_BareConnection,
            statement_cache_size=0 if self.pooled else 100,
            server_settings={"application_name": "switchboard-bot"} if self.pooled else _SESSION | self._limits,
        )
        try:
            await pool
        except BaseException:
            pool.terminate()
            raise
        return pool

    @property
    def _limits(self) -> dict[str, str]:
        """Return the server's own statement timeout, in milliseconds."""
        shares = {"lock_timeout": LOCK, "statement_timeout": _SERVER}
        return {name: str(round(self._answer * share * 1000)) for name, share in shares.items()}

    async def _opened_or_explained(self) -> asyncpg.Pool:
        try:
            return await self._opened()
        except Exception as error:
            raise self._explained(error, opening=True) from error

    def _explained(self, error: Exception, *, opening: bool = False) -> Exception:
        if isinstance(error, ValueError) and not isinstance(error, asyncpg.InterfaceError | OSError):
            return error
        return explain(error, self.place, opening=opening)


async def _end(connection: Any) -> None:
    """Close a connection and what it is running, as far as a short wait allows."""
    try:
        await connection.close(timeout=_ENDING)
    except BaseException as error:
        connection.terminate()
        if not isinstance(error, Exception):
            raise
