"""A set of digests, 16 bytes each with a small number: open addressing in one flat array."""

from __future__ import annotations

from array import array

MOST = 14
"""The largest number that can be kept with a digest."""
PASSED = 15
"""The number of a digest that was only passed on the way to somewhere else."""

_HALF = (1 << 64) - 1
_NUMBER = 15  # the lowest four bits
_MOST_FULL = 0.7


class Digests:
    """Digests, each with the smallest number that it was added with.

    Args:
        slots: how many to begin with; a power of 2.

    Attributes:
        passed: how many were only passed.
        visited: how many have a number.
    """

    def __init__(self, slots: int = 1 << 16) -> None:
        self._mask = slots - 1
        self._table = array("Q", bytes(16 * slots))
        self._limit = int(slots * _MOST_FULL)
        self.passed = 0
        self.visited = 0

    @property
    def size(self) -> int:
        """How many bytes they take."""
        return len(self._table) * self._table.itemsize

    def __contains__(self, digest: int) -> bool:
        """Is the digest there, with whichever number?"""
        return self._table[self._place(digest)] != 0

    def number_of(self, digest: int) -> int | None:
        """The number that is kept with a digest; None if it is not there."""
        place = self._place(digest)
        return self._table[place + 1] & _NUMBER if self._table[place] else None

    def add(self, digest: int, number: int = PASSED) -> int | None:
        """Add a digest with a number, or lower the number that it has.

        Returns:
            The number that it had before; None if it was not there.
        """
        place, table = self._place(digest), self._table
        if not table[place]:
            table[place], table[place + 1] = (digest >> 64) or 1, (digest & _HALF & ~_NUMBER) | number
            self.passed += number == PASSED
            self.visited += number != PASSED
            if self.passed + self.visited > self._limit:
                self._grow()
            return None
        before = table[place + 1] & _NUMBER
        if number < before:
            table[place + 1] = (table[place + 1] & ~_NUMBER) | number
            if before == PASSED:
                self.passed -= 1
                self.visited += 1
        return before

    def _place(self, digest: int) -> int:
        """Where the digest is, or is to be put."""
        table, mask = self._table, self._mask
        high, low = (digest >> 64) or 1, digest & _HALF & ~_NUMBER
        slot = high & mask
        while (known := table[2 * slot]) and (known != high or table[2 * slot + 1] & ~_NUMBER != low):
            slot = (slot + 1) & mask
        return 2 * slot

    def _grow(self) -> None:
        old, self._mask = self._table, 2 * self._mask + 1
        self._limit *= 2
        self._table = table = array("Q", bytes(2 * old.itemsize * len(old)))
        mask = self._mask
        for place in range(0, len(old), 2):
            high = old[place]
            if high:
                slot = high & mask
                while table[2 * slot]:
                    slot = (slot + 1) & mask
                table[2 * slot], table[2 * slot + 1] = high, old[place + 1]
