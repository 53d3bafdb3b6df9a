"""Time, as something that is handed in: nothing else in the project asks the machine what time it is."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

SLOWED = 0.9
"""How fast a clock goes that has to wait for the machine's."""


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> datetime:
        """The current time, aware, in UTC."""


class SystemClock:
    """The machine's clock, except that it is never set back.

    Where that is set back, this one goes on, a little slower, until the other has caught up (an hour takes ten).
    Otherwise whatever is due and every lease would wait for that hour once more.

    Args:
        wall: the time of day in seconds since 1970, which may be set.
        steady: seconds from any beginning, which never go back.
    """

    def __init__(self, wall: Callable[[], float] = time.time, steady: Callable[[], float] = time.monotonic) -> None:
        self._wall = wall
        self._steady = steady
        self._told = 0.0
        self._told_at = steady()
        self._lock = threading.Lock()

    def now(self) -> datetime:
        """The current time, aware, in UTC; never before what was told last."""
        with self._lock:
            steady = self._steady()
            self._told = told = max(self._wall(), self._told + (steady - self._told_at) * SLOWED)
            self._told_at = steady
        return datetime.fromtimestamp(told, UTC)
