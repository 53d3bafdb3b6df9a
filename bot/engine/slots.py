"""How many things a worker does to the platform at the same time, and who waits until it may."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice


class Slots:
    """So many slots, given to those who have waited longest.

    Whoever waits is called when there may be a slot, and then takes it, or leaves the queue so that others get it.
    """

    def __init__(self, number: int) -> None:
        self._free = number
        self._waiting: dict[Callable[[], object], None] = {}

    def take(self, called: Callable[[], object]) -> bool:
        """Take a slot. False: there is none, and `called` is called when there may be one."""
        if self._free == 0:
            self._waiting[called] = None
            return False
        self._free -= 1
        self._waiting.pop(called, None)
        return True

    def leave(self, called: Callable[[], object]) -> None:
        """Wait no longer."""
        if called in self._waiting:
            del self._waiting[called]
            self._call()

    def give_back(self) -> None:
        """A slot is free."""
        self._free += 1
        self._call()

    def _call(self) -> None:
        for called in list(islice(self._waiting, self._free)):
            called()
