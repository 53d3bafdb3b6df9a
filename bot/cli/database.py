"""What commands do with the database of the settings."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from bot.cli.given import Given
from bot.cli.problems import refuse_database, tell
from bot.store import Database, StoreError, open_store

T = TypeVar("T")


def with_database(work: Callable[[Database], Awaitable[T]], database_url: str | None = None) -> T:
    """Do something with the database of the settings; say what is wrong with it, if it can't be used."""

    async def run() -> T:
        store = open_store(database_url or Given().database_url, tell)
        await store.start()
        try:
            return await work(store)
        finally:
            await store.stop()

    try:
        return asyncio.run(run())
    except (StoreError, ValueError) as error:
        refuse_database(error)
