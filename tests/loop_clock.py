"""A clock for tests in real time on a machine that may be busy."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

TICK = 0.002  # seconds


class LoopClock:
    """Time in which this event loop was able to run.

    It stands still while other processes have the cores, or something blocks the loop. A timer counts in full.
    """

    def __init__(self) -> None:
        self.now = 0.0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Let the time pass."""
        task = asyncio.create_task(self._tick(), name="loop clock")
        try:
            yield
        finally:
            task.cancel()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            self.now += TICK
