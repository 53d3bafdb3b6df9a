"""The bot's own schema in a PostgreSQL database that others may share, and where older versions had their tables.

Everything of ours is in the schema `switchboard_bot`, the version table included, so that it collides with nobody's
tables. Statements name tables plainly, and `qualified` puts the schema before them: `search_path` would be simpler,
but a proxy that pools transactions refuses it.

What is there is looked up in `pg_class`, which each statement sees as it is. `to_regclass` answers from a cache: after
the wait for another process's migration it still said that there was no table.
"""

from __future__ import annotations

import re
from functools import lru_cache

from asyncpg.exceptions import InsufficientPrivilegeError

from bot.store.interface import SchemaMismatch, Unavailable
from bot.store.postgres.connection import Connection
from bot.store.schema import FORMER_VERSION_TABLE, SAFE_TABLE, TABLES, VERSION_TABLE, foreign_tables, problem_with

SCHEMA = "switchboard_bot"

_NAMED = re.compile(rf"\b(FROM|JOIN|INTO|UPDATE|TABLE)(\s+)({'|'.join((*TABLES, VERSION_TABLE))})\b")

_OURS = """
    SELECT c.relname::text FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = $1 AND c.relkind IN ('r', 'p', 'v', 'm', 'f') ORDER BY 1
"""

_FORMER = """
    SELECT quote_ident(n.nspname) FROM pg_constraint AS k
    JOIN pg_class AS t ON t.oid = k.conrelid JOIN pg_namespace AS n ON n.oid = t.relnamespace
    JOIN pg_class AS v ON v.relnamespace = n.oid AND v.relname = $1
    WHERE k.conname = $2 AND t.relname = $3 AND n.nspname = ANY (current_schemas(false))
    ORDER BY array_position(current_schemas(false), n.nspname) LIMIT 1
"""

_ENTER = f"SET LOCAL search_path = {SCHEMA}"


@lru_cache(maxsize=1024)
def qualified(statement: str) -> str:
    """Return the statement with the schema before each of our tables."""
    return _NAMED.sub(rf"\1\2{SCHEMA}.\3", statement)


async def problem_of(connection: Connection) -> str | None:
    """Return what keeps the bot from using the database, with the remedy; None if nothing does."""
    try:
        return problem_with(await revision(connection))
    except SchemaMismatch as error:
        return str(error)


async def revision(connection: Connection) -> str | None:
    """Return the revision that the database is at; None if it was never migrated.

    Raises:
        SchemaMismatch: the schema has tables of somebody else.
    """
    tables = [row[0] for row in await connection.fetch(_OURS, SCHEMA)]
    if VERSION_TABLE in tables:
        found: str | None = await connection.fetchval(f"SELECT version_num FROM {VERSION_TABLE}")  # noqa: S608 - constant
        return found
    if tables:
        raise SchemaMismatch(
            f"the schema {SCHEMA} of this database holds {foreign_tables(tables)}: rename it, or give the bot another"
            " database in DATABASE_URL"
        )
    former = await _former_schema(connection)
    if former is None:
        return None
    older: str | None = await connection.fetchval(f"SELECT version_num FROM {former}.{FORMER_VERSION_TABLE}")  # noqa: S608 - quoted
    return older


async def enter(connection: Connection) -> None:
    """Create the schema if missing, move an older version's tables into it, and use it in this transaction."""
    if not await connection.fetchval("SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)", SCHEMA):
        try:
            await connection.execute(f"CREATE SCHEMA {SCHEMA}")
        except InsufficientPrivilegeError as error:
            words = f"its owner has to run once: CREATE SCHEMA {SCHEMA} AUTHORIZATION <the user of DATABASE_URL>"
            raise Unavailable(f"this user may not create the schema {SCHEMA}: {words}") from error
    if not await connection.fetch(_OURS, SCHEMA) and (former := await _former_schema(connection)):
        for table in (*TABLES, FORMER_VERSION_TABLE):  # IF EXISTS: the oldest versions had fewer
            await connection.execute(f"ALTER TABLE IF EXISTS {former}.{table} SET SCHEMA {SCHEMA}")
        await connection.execute(f"ALTER TABLE {SCHEMA}.{FORMER_VERSION_TABLE} RENAME TO {VERSION_TABLE}")
    await connection.execute(_ENTER)


async def _former_schema(connection: Connection) -> str | None:
    """Return the quoted name of the schema where a version up to 0004 put its tables; None if there are none.

    Only tables with our constraint count: others call theirs `conversations` and `alembic_version` too.
    """
    former: str | None = await connection.fetchval(_FORMER, FORMER_VERSION_TABLE, SAFE_TABLE[1], SAFE_TABLE[0])
    return former
