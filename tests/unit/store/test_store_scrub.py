"""What an erasure leaves in SQLite's log goes at once, and many erasures cost what one does."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bot.store import Change, SqliteStore
from bot.store.migrations import empty_database
from webhooks.inbox import NewEvent

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


async def test_many_at_once(tmp_path: Path) -> None:
    """A reader who stands still keeps the log as it is; intake waits for that once, and not once an erasure."""
    path = tmp_path / "bot.db"
    path.write_bytes(empty_database())
    store = SqliteStore(path)
    await store.start()
    await store.receive([NewEvent(f"e{n}", f"c{n}", "t", b"{}", NOW) for n in range(30)])
    works = await store.claim(owner="w", now=NOW, lease=timedelta(seconds=30), limit=30)
    with closing(sqlite3.connect(path)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM inbox").fetchall()
        saves = [store.save(work.lease, Change(work.state, forget=True), NOW) for work in works]
        async with asyncio.timeout(4):  # 200 ms for each would be 6 s
            await asyncio.gather(*saves)
    await store.stop()
