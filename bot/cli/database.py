"""Database access for commands."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from bot.cli.partial_settings import PartialSettings
from bot.cli.problems import print_signal, refuse_database
from bot.store import Database, StoreError, open_store

T = TypeVar("T")


def with_database(work: Callable[[Database], Awaitable[T]], database_url: str | None = None) -> T:
    """Run `work` with the configured database. Exits with code 2 if it is unusable."""

    async def run() -> T:
        store = open_store(database_url or PartialSettings().database_url, print_signal)
        await store.start()
        try:
            return await work(store)
        finally:
            await store.stop()

    try:
        return asyncio.run(run())
    except (StoreError, ValueError) as error:
        refuse_database(error)
