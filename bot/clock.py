"""The injected clock. Nothing else in the project reads the machine's time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

SLOW_RATE = 0.9
"""Rate of a clock that waits for the machine's clock to catch up."""


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> datetime:
        """Return the current time, aware, in UTC."""


class SystemClock:
    """The machine's clock, but never going backwards.

    When the machine's clock is set back, this one continues at a slower rate until the other
    has caught up (an hour takes ten). Otherwise timers and leases would be delayed by the
    difference.

    Args:
        wall: the wall clock, in seconds since 1970; may be set back.
        steady: a monotonic clock, in seconds.
    """

    def __init__(self, wall: Callable[[], float] = time.time, steady: Callable[[], float] = time.monotonic) -> None:
        self._wall = wall
        self._steady = steady
        self._last = 0.0  # the last result
        self._last_at = steady()
        self._lock = threading.Lock()

    def now(self) -> datetime:
        """Return the current time, aware, in UTC; never earlier than the previous result."""
        with self._lock:
            steady = self._steady()
            slowed = self._last + (steady - self._last_at) * SLOW_RATE
            self._last = now = max(self._wall(), slowed)
            self._last_at = steady
        return datetime.fromtimestamp(now, UTC)
