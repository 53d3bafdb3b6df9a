"""Retention: every hour, what is older than RETENTION_DAYS and needed by nothing is deleted, in small bites.

What goes and what stays, `Store.purge` says. In short: nothing that anybody said is kept for longer than RETENTION_DAYS
and a day, unless a flow still waits with it; and nothing at all is kept of a conversation that is over and in which
nothing has happened for so long. What is at stake is never deleted, however old it is. The ids of events, by which a
repeated delivery is known, are kept as long as everything else; the platform repeats for fifteen minutes.

Every worker does it: a bite is one transaction, and one that comes second finds nothing to do.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

from bot.clock import Clock
from bot.signals import Level, Observe, Signal
from bot.store.interface import Store, StoreError

EVERY = timedelta(hours=1)
BITE = 50  # conversations; the work of some milliseconds
BREATH = timedelta(milliseconds=200)  # between two bites


class Retention:
    """Deletes what is old.

    Args:
        store: where from.
        clock: what "old" is measured by.
        observe: told what went.
        keep: for how long.
    """

    def __init__(self, store: Store, clock: Clock, observe: Observe, keep: timedelta) -> None:
        self._store = store
        self._clock = clock
        self._observe = observe
        self._keep = keep

    async def run(self) -> None:
        """Delete what is old now, and again every hour, until it is cancelled."""
        while True:
            await self.once()
            await asyncio.sleep(EVERY.total_seconds())

    async def once(self) -> None:
        """Delete all that is old now, and leave nothing of what was deleted lately in the database's files."""
        before, looked_at = self._clock.now() - self._keep, 0
        try:
            while seen := await self._store.purge(before, BITE):
                looked_at += seen
                await asyncio.sleep(BREATH.total_seconds())
            await self._store.scrub()
        except StoreError as error:
            self._observe(Signal("purge_failed", Level.WARNING, fields={"error": str(error)}))
        except Exception as error:  # noqa: BLE001 - there is a next hour
            self._observe(Signal("purge_failed", Level.ERROR, fields={"error": type(error).__name__}))
        if looked_at:
            self._observe(Signal("purged", fields={"looked_at": looked_at, "before": before.isoformat()}))
