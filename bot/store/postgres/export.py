"""The export of stored events from PostgreSQL, page by page, so that neither side holds all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from bot.store.asking import for_postgres
from bot.store.interface import SchemaMismatch, StoredEvent
from bot.store.postgres.pool import Pool
from bot.store.postgres.schema import problem_of
from bot.store.rows import event_of
from bot.store.selection import Selection
from bot.store.url import postgres_address

PAGE = 1000
"""Events."""


def stored_events(database_url: str, selection: Selection) -> Iterator[StoredEvent]:
    """See `bot.store.export.stored_events`. Not within a running loop."""
    pool = Pool(postgres_address(database_url))
    with asyncio.Runner() as runner:
        runner.run(pool.start())
        try:
            if (problem := runner.run(pool.run(problem_of))) is not None:
                raise SchemaMismatch(problem)
            after = None
            while True:
                query, values = for_postgres(*selection.query(after))
                rows = runner.run(pool.fetch(f"{query} LIMIT {PAGE}", *values))
                for row in rows:
                    yield event_of(tuple(row)[1:])
                if len(rows) < PAGE:
                    return
                after = rows[-1]["received_at"], rows[-1]["seq"]
        finally:
            runner.run(pool.stop())
