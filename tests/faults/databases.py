"""The databases that the bots of a run use, and what can befall them."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import asyncpg
from postgres_server import PostgresServer


class Database:
    """A SQLite file in the bot's folder."""

    name = "SQLite"

    def url(self, folder: Path) -> str:
        """The DATABASE_URL."""
        self.file = folder / "bot.db"
        return f"sqlite:///{self.file}"

    async def lock(self) -> None:
        """Another program writes, and does not end."""
        self._held = sqlite3.connect(self.file, isolation_level=None)
        self._held.execute("BEGIN IMMEDIATE")


class Postgres(Database):
    """A database on a server of this run."""

    name = "PostgreSQL"

    def __init__(self, server: PostgresServer) -> None:
        self.server = server
        self.address = server.new_database()

    def url(self, folder: Path) -> str:
        """The DATABASE_URL."""
        return self.address

    async def lock(self) -> None:
        """Another program keeps a table."""
        self._connection = await asyncpg.connect(self.address)
        await self._connection.execute("BEGIN; LOCK TABLE switchboard_bot.inbox IN ACCESS EXCLUSIVE MODE")

    async def make_read_only(self) -> None:
        """Writes are refused from now on."""
        name = self.address.split("?")[0].rpartition("/")[2]
        self.server.query(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        self.server.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name)
