"""Reads and writes one conversation's data under its lease, with retries."""

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
# While the database is out of reach:
RETRY_FIRST, RETRY_CAP = timedelta(milliseconds=100), timedelta(seconds=2)
DATABASE_PATIENCE = timedelta(seconds=30)


class Leased:
    """The lease of one conversation, and the database operations under it.

    Attributes:
        in_a_hurry: the worker is stopping; don't retry.
    """

    def __init__(self, context: Context, lease: Lease) -> None:
        self.in_a_hurry = False
        self._context = context
        self._lease = lease
        self._is_in_store = False
        self._renew_before = context.lease * 2 / 3

    @property
    def renew_at(self) -> datetime:
        """When to renew the lease."""
        return self._lease.until - self._renew_before

    @property
    def has_time(self) -> bool:
        """Whether the lease holds long enough to send something."""
        return self._context.clock.now() < self._lease.until - LEASE_MARGIN

    def keeps(self, lease: Lease) -> bool:
        """Adopt a new lease, if nobody else had the conversation in between.

        Return False during a store operation, which depends on the old lease.
        """
        if self._is_in_store or lease.epoch != self._lease.epoch + 1:
            return False
        self._lease = lease
        return True

    async def save(self, change: Change) -> None:
        """Write a change. Raises `StoreError`."""
        await self._patiently(lambda: self._context.store.save(self._lease, change, self._context.clock.now()))

    async def fetch(self) -> list[StoredEvent]:
        """Read the waiting events. Raises `StoreError`."""
        return await self._patiently(lambda: self._context.store.fetch(self._lease))

    async def renew_if_due(self, *, set_back: bool = False) -> None:
        """Renew the lease when due, or at once after the clock was set back.

        Raises:
            StoreError: the lease is lost, or the database is out of reach.
        """
        if set_back or self._context.clock.now() >= self.renew_at:
            self._lease = await self._patiently(
                lambda: self._context.store.renew(self._lease, self._context.clock.now() + self._context.lease)
            )

    async def _patiently(self, work: Callable[[], Awaitable[T]]) -> T:
        """Run a database operation; retry while the database is out of reach.

        The lease may expire meanwhile. If nobody else has taken the conversation when
        the database is back, it is kept. Giving up at once would make the next session
        repeat the unsaved turn, calls included.
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
