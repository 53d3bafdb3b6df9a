"""Regenerate `sqlite.sql` from the migrations: `python -m bot.store.migrations.whole`."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from bot.store.migrations import WHOLE, run_migrations
from bot.store.schema import HEAD


def whole_schema() -> str:
    """Return the SQL of all tables and indexes that the migrations create on SQLite, in that order."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        run_migrations(connection, Path(":memory:"))
        made = connection.execute(
            "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND substr(name, 1, 7) <> 'sqlite_' ORDER BY rowid"
        ).fetchall()
    head = f"-- Schema {HEAD}, made from the migrations by `python -m bot.store.migrations.whole`.\n"
    lines = "".join(f"\n{sql.strip()};\n" for (sql,) in made).splitlines()
    return head + "\n".join(line.rstrip() for line in lines) + "\n"


if __name__ == "__main__":
    WHOLE.write_text(whole_schema(), encoding="utf-8")
