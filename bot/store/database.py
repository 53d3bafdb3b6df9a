"""The whole interface of a database."""

from __future__ import annotations

from typing import Protocol

from bot.store.interface import Store
from bot.store.operators import OperatorStore


class Database(Store, OperatorStore, Protocol):
    """A database, for all who use it."""

    async def probe(self) -> None:
        """Write a row of `PROBE_BYTES` and remove it again. Raises `Unavailable` if it can't be stored."""

    def for_another_loop(self) -> Database:
        """Return the same database for another event loop: this store if it serves any, else one to be started."""
