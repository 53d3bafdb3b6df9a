"""Deletes data older than RETENTION_DAYS every hour, in small batches.

`Store.purge` decides what goes. In short: customers' words stay at most RETENTION_DAYS
and a day, unless a flow still waits with them; nothing stays of a conversation that is
over and has been quiet for so long. A conversation at stake is never deleted. Event
ids, which identify repeated deliveries, stay as long as everything else; the platform
repeats for fifteen minutes.

Every worker runs this. A batch is one transaction, and a second worker finds nothing to
do.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

from bot.clock import Clock
from bot.signals import Level, Observe, Signal
from bot.store.interface import Store, StoreError

EVERY = timedelta(hours=1)
BATCH = 50  # conversations per batch; takes some milliseconds
PAUSE = timedelta(milliseconds=200)  # between batches


class Retention:
    """Deletes old data.

    Args:
        store: the store to delete from.
        clock: defines "old".
        observe: receives the results.
        keep: retention time.
    """

    def __init__(self, store: Store, clock: Clock, observe: Observe, keep: timedelta) -> None:
        self._store = store
        self._clock = clock
        self._observe = observe
        self._keep = keep

    async def run(self) -> None:
        """Delete old data now and every hour, until cancelled."""
        while True:
            await self.once()
            await asyncio.sleep(EVERY.total_seconds())

    async def once(self) -> None:
        """Delete all old data, and scrub recently deleted data from the database's files."""
        before, looked_at = self._clock.now() - self._keep, 0
        try:
            while seen := await self._store.purge(before, BATCH):
                looked_at += seen
                await asyncio.sleep(PAUSE.total_seconds())
            await self._store.scrub()
        except StoreError as error:
            self._observe(Signal("purge_failed", Level.WARNING, fields={"error": str(error)}))
        except Exception as error:  # noqa: BLE001 - retry in an hour
            self._observe(Signal("purge_failed", Level.ERROR, fields={"error": type(error).__name__}))
        if looked_at:
            self._observe(Signal("purged", fields={"looked_at": looked_at, "before": before.isoformat()}))
