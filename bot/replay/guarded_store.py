"""A database as one process sees it: something may go wrong around each operation."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, cast

from bot.store.interface import Store

_READS = frozenset({"find", "counts", "ping"})
"""Operations that nothing interferes with."""

Hook = Callable[[str], Awaitable[None]]


def guarded(store: Store, before: Hook, after: Hook) -> Store:
    """Return the same store, with hooks around each operation that changes it or claims work.

    Args:
        store: of the stage, which opens it, closes it, and wakes its processes itself.
        before, after: awaited with the name of the operation; what they raise is raised to its caller.
    """
    return cast("Store", _Guarded(store, before, after))


class _Guarded:
    def __init__(self, store: Store, before: Hook, after: Hook) -> None:
        self._store = store
        self._before = before
        self._after = after

    def __getattr__(self, name: str) -> Any:
        operation = getattr(self._store, name)
        if name in _READS:
            return operation

        async def guarded_operation(*args: Any, **kwargs: Any) -> Any:
            await self._before(name)
            result = await operation(*args, **kwargs)
            await self._after(name)
            return result

        return guarded_operation

    async def start(self) -> None:
        """Do nothing: the stage opens its database itself."""

    async def stop(self) -> None:
        """Do nothing: the database outlives the process."""

    def listen(self, heard: Callable[[Iterable[str | None]], None]) -> None:
        """Do nothing: the stage wakes its processes itself."""
