"""A fair limit on concurrent API calls."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice


class Slots:
    """A fixed number of slots, handed out first come, first served.

    Waiters are called when a slot may be free. Each then takes it, or leaves the queue
    for the next.
    """

    def __init__(self, number: int) -> None:
        self._free = number
        self._waiting: dict[Callable[[], object], None] = {}

    def take(self, called: Callable[[], object]) -> bool:
        """Take a slot. Return False if none is free; `called` is then called when one may be."""
        if self._free == 0:
            self._waiting[called] = None
            return False
        self._free -= 1
        self._waiting.pop(called, None)
        return True

    def leave(self, called: Callable[[], object]) -> None:
        """Leave the queue, and offer the slot to the next waiter."""
        if called in self._waiting:
            del self._waiting[called]
            self._call()

    def give_back(self) -> None:
        """Free a slot."""
        self._free += 1
        self._call()

    def _call(self) -> None:
        """Call as many waiters as there are free slots."""
        for called in list(islice(self._waiting, self._free)):
            called()
