"""What is stored of one conversation, while a worker holds its lease: written and read with patience."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import TypeVar

from bot.control.policy import backoff
from bot.engine.context import Context
from bot.store.interface import Change, Lease, StoredEvent, Unavailable
from bot.troubles import What, database_failed

T = TypeVar("T")

LEASE_MARGIN = timedelta(seconds=2)
RETRY_FIRST, RETRY_CAP = timedelta(milliseconds=100), timedelta(seconds=2)  # while the database is out of reach
DATABASE_PATIENCE = timedelta(seconds=30)  # with a database that is out of reach


class Leased:
    """The lease of one conversation, and what is done in the database under it.

    Attributes:
        in_a_hurry: the worker stops: what fails is not tried again.
    """

    def __init__(self, context: Context, lease: Lease) -> None:
        self.in_a_hurry = False
        self._context = context
        self._lease = lease
        self._is_in_store = False
        self._renew_before = context.lease * 2 / 3

    @property
    def renew_at(self) -> datetime:
        """When the lease is to be renewed."""
        return self._lease.until - self._renew_before

    @property
    def has_time(self) -> bool:
        """Does the lease hold long enough for something to go out?"""
        return self._context.clock.now() < self._lease.until - LEASE_MARGIN

    def keeps(self, lease: Lease) -> bool:
        """Go on with a new lease, if nobody else has had the conversation since the old one ran out.

        Only between two store operations: one that is under way rests on the old lease.
        """
        if self._is_in_store or lease.epoch != self._lease.epoch + 1:
            return False
        self._lease = lease
        return True

    async def save(self, change: Change) -> None:
        """Write a change. Raises `StoreError`."""
        await self._patiently(lambda: self._context.store.save(self._lease, change, self._context.clock.now()))

    async def fetch(self) -> list[StoredEvent]:
        """Read the events that wait. Raises `StoreError`."""
        return await self._patiently(lambda: self._context.store.fetch(self._lease))

    async def renew_if_due(self, *, set_back: bool = False) -> None:
        """Renew the lease in time, and at once where the clock was set back. Raises `StoreError`."""
        if set_back or self._context.clock.now() >= self.renew_at:
            self._lease = await self._patiently(
                lambda: self._context.store.renew(self._lease, self._context.clock.now() + self._context.lease)
            )

    async def _patiently(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do something in the database; retry while it is out of reach.

        The lease may run out meanwhile. If nobody else has taken the conversation when the database is back, it
        is kept. Giving up at once would make the next session begin the unsaved turn anew, calls and all.
        """
        attempt, began = 0, self._context.clock.now()
        while True:
            self._is_in_store = True
            try:
                done = await work()
            except Unavailable as error:
                database_failed(self._context.troubles, error)
                attempt += 1
                pause = backoff(attempt, self._lease.conversation_id, RETRY_FIRST, RETRY_CAP)
                if self.in_a_hurry or self._context.clock.now() + pause >= began + DATABASE_PATIENCE:
                    raise
            else:
                self._context.troubles.works(What.DATABASE)
                return done
            finally:
                self._is_in_store = False
            await asyncio.sleep(pause.total_seconds())
