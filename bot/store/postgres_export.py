"""The export of stored events from PostgreSQL: page after page, so that neither side holds all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import count
from typing import Any

from bot.store.export import POSTED, Selection
from bot.store.interface import SchemaMismatch, StoredEvent
from bot.store.postgres_pool import Pool
from bot.store.postgres_schema import problem_of
from bot.store.rows import EVENT, event_of
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
            received_at, seq = -(2**62), 0
            while True:
                query, values = _page(selection, received_at, seq)
                rows = runner.run(pool.fetch(query, *values))
                for row in rows:
                    yield event_of(tuple(row)[1:])
                if len(rows) < PAGE:
                    return
                received_at, seq = rows[-1]["received_at"], rows[-1]["seq"]
        finally:
            runner.run(pool.stop())


def _page(selection: Selection, received_at: int, seq: int) -> tuple[str, list[Any]]:
    conditions = [*selection.conditions]
    if selection.conversations:
        conditions.append(("conversation_id = ANY(?::text[])", list(selection.conversations)))
    places = count(3)
    clauses = [clause.replace("?", f"${next(places)}", 1) for clause, _ in conditions]
    where = " AND ".join([POSTED, "(received_at, seq) > ($1::bigint, $2::bigint)", *clauses])
    query = f"SELECT seq, {EVENT} FROM inbox WHERE {where} ORDER BY received_at, seq LIMIT {PAGE}"  # noqa: S608 - constants
    return query, [received_at, seq, *(value for _, value in conditions)]
