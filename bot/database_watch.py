"""Checks in the background whether the database is usable."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic

from bot.store import Database, StoreError
from bot.troubles import DATABASE_TODO, Troubles, What, database_failed

TROUBLE_INTERVAL = 1.0  # seconds between checks during trouble
CHECK_INTERVAL = 3.0  # seconds between checks otherwise
ANSWER_TIMEOUT = 3.0  # seconds


class DatabaseWatch:
    """Pings the database; during trouble, writes to it instead. Also ticks `troubles`.

    Args:
        store: the database.
        troubles: receives failures and recoveries.
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
            tasks.create_task(self._check(), name="check the database")
            tasks.create_task(self._tick(), name="tick troubles")

    async def _check(self) -> None:
        while True:
            is_failing = self._troubles.fails(What.DATABASE)
            await asyncio.sleep(TROUBLE_INTERVAL if is_failing else CHECK_INTERVAL)
            self._asked_at = self._seconds()
            try:
                if self._troubles.fails(What.DATABASE):
                    await self._store.probe()  # reads would work on a full disk
                    self._troubles.works(What.DATABASE)
                else:
                    await self._store.ping()
            except (StoreError, OSError) as error:
                database_failed(self._troubles, error)
            finally:
                self._asked_at = None

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TROUBLE_INTERVAL)
            self._troubles.look()
            if self._asked_at is not None and self._seconds() - self._asked_at >= ANSWER_TIMEOUT:
                self._asked_at = None  # report each slow answer once
                problem = f"the database has not answered for {ANSWER_TIMEOUT:g} s; is it locked, or unreachable?"
                self._troubles.failed(What.DATABASE, problem, DATABASE_TODO)
