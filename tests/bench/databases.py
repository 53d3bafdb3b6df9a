"""The databases to measure on, and questions to them from outside."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from .processes import free_port
from .setting import Database

PROVEN = "SELECT count(*) FROM conversations WHERE released_at IS NOT NULL"


@contextmanager
def databases(folder: Path, *, postgres: bool) -> Iterator[list[Database]]:
    """SQLite files in a folder and, where it can be started, a PostgreSQL that keeps its promises (fsync)."""
    found = [Database("SQLite", lambda name: f"sqlite:///{folder / name}.db")]
    server = _server() if postgres else None
    if server is None:
        yield found
        return
    try:
        yield [*found, Database("PostgreSQL", lambda _: server.new_database(migrated=False))]
    finally:
        server.remove()


async def number(url: str, question: str) -> int:
    """The answer of a database to a question that has a single number for an answer."""
    return await (
        asyncio.to_thread(_from_sqlite, url, question) if url.startswith("sqlite") else _from_pg(url, question)
    )


def _from_sqlite(url: str, question: str) -> int:
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"), timeout=10)) as connection:
        return int(connection.execute(question).fetchone()[0])


async def _from_pg(url: str, question: str) -> int:
    import asyncpg

    connection = await asyncpg.connect(url, server_settings={"search_path": "switchboard_bot"})
    try:
        return int(await connection.fetchval(question))
    finally:
        await connection.close()


def _server() -> Any:
    """The server that the tests use, durable here; None where there is none."""
    sys.path.append(str(Path(__file__).parents[1]))  # where the tests keep it
    try:
        module = import_module("postgres_server")
    except ImportError:
        return None
    try:
        return module.PostgresServer(durable=True, port=free_port())
    except module.NoServer:
        return None
