"""How often somebody may try to sign in: so and so often from one address, and so often from all together."""

from __future__ import annotations

from collections import deque
from datetime import datetime, timedelta

WINDOW = timedelta(minutes=5)
MOST_OF_ONE = 10
MOST_OF_ALL = 50
_MOST_ADDRESSES = 1_000


class Attempts:
    """Counts failed attempts, in memory: another process counts for itself."""

    def __init__(self) -> None:
        self._all: deque[datetime] = deque()
        self._by_address: dict[str, deque[datetime]] = {}

    def wait(self, address: str, now: datetime) -> timedelta | None:
        """How long this address has to wait before it may try again; None if it may now."""
        waits = [
            tried[-most] + WINDOW - now
            for tried, most in ((self._of(address, now), MOST_OF_ONE), (_recent(self._all, now), MOST_OF_ALL))
            if len(tried) >= most
        ]
        return max(waits, default=None)

    def failed(self, address: str, now: datetime) -> None:
        """Somebody gave a wrong token."""
        self._all.append(now)
        if address not in self._by_address and len(self._by_address) >= _MOST_ADDRESSES:
            self._by_address = {known: tried for known, tried in self._by_address.items() if _recent(tried, now)}
        if len(self._by_address) < _MOST_ADDRESSES or address in self._by_address:
            self._by_address.setdefault(address, deque()).append(now)

    def _of(self, address: str, now: datetime) -> deque[datetime]:
        return _recent(self._by_address.get(address, deque()), now)


def _recent(tried: deque[datetime], now: datetime) -> deque[datetime]:
    while tried and tried[0] + WINDOW <= now:
        tried.popleft()
    return tried
