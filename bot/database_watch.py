"""Watches whether the database can be used, also while nothing is to be stored."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic

from bot.store import Database, StoreError
from bot.troubles import DATABASE_TODO, Troubles, What, database_failed

TICK = 1.0
EVERY = 3.0
LATE = 3.0
"""Seconds until an answer that has not come counts as a failure."""


class DatabaseWatch:
    """Asks the database now and then; while it is in trouble, by writing to it. Also lets `troubles` tell what is due.

    Args:
        store: the database.
        troubles: hears what fails and what works again.
        seconds: a monotonic clock.
    """

    def __init__(self, store: Database, troubles: Troubles, seconds: Callable[[], float] = monotonic) -> None:
        self._store = store
        self._troubles = troubles
        self._seconds = seconds
        self._asked_at: float | None = None

    async def run(self) -> None:
        """Watch until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._ask(), name="asks the database")
            tasks.create_task(self._look(), name="looks at troubles")

    async def _ask(self) -> None:
        while True:
            await asyncio.sleep(TICK if self._troubles.fails(What.DATABASE) else EVERY)
            self._asked_at = self._seconds()
            try:
                if self._troubles.fails(What.DATABASE):
                    await self._store.probe()  # reads work on a full disk, too
                    self._troubles.works(What.DATABASE)
                else:
                    await self._store.ping()
            except (StoreError, OSError) as error:
                database_failed(self._troubles, error)
            finally:
                self._asked_at = None

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            self._troubles.look()
            if self._asked_at is not None and self._seconds() - self._asked_at >= LATE:
                self._asked_at = None  # once is enough
                problem = f"the database has not answered for {LATE:g} s; is it locked, or out of reach?"
                self._troubles.failed(What.DATABASE, problem, DATABASE_TODO)
