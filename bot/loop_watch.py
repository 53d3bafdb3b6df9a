"""Notices from a thread that an event loop stands still, and says which code holds it up."""

from __future__ import annotations

import asyncio
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from time import monotonic

from bot.flows.error_report import user_calls
from bot.troubles import Troubles, What

EVERY = 0.5  # seconds between two looks
LATE = 2.0  # seconds without an answer until the loop counts as blocked
AGAIN = 60.0  # seconds until a blockage that lasts counts once more
STUCK = 15.0  # seconds until the process counts as not alive
_FLOW = "flow "  # how the names of tasks that run a flow begin
_MOST_CALLS = 4

_TODO = (
    "No conversation goes on meanwhile; webhooks are stored. Call what blocks with `await chat.call(function, …)`: "
    "a plain function runs in a thread there. Or use a library for asyncio."
)


class LoopWatch:
    """Watches the event loop of the thread that makes it, from another thread.

    Args:
        troubles: hears of it while it lasts.
        seconds: a monotonic clock.
    """

    def __init__(self, troubles: Troubles, seconds: Callable[[], float] = monotonic) -> None:
        self._troubles = troubles
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._watched = threading.get_ident()
        self._beaten = self._looked = seconds()
        self._asked = False
        self._told = 0.0
        self._where: str | None = None  # the flow that blocks the loop; None while it runs
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="loop watch", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    async def stop(self) -> None:
        """End the thread."""
        self._stop.set()
        await asyncio.to_thread(self._thread.join)

    def is_stuck(self) -> bool:
        """Tell whether the loop has stood still for so long that the process had better be started again."""
        return self._where is not None and self._seconds() - self._beaten >= STUCK

    def look(self) -> None:
        """Ask the loop for a sign, and tell if it has given none for too long."""
        now = self._seconds()
        slept, self._looked = now - self._looked, now
        if slept >= LATE:  # this thread stood still as well: the machine is overloaded, or was suspended
            self._beaten = max(self._beaten, now - EVERY)
        late = now - self._beaten
        if self._asked and late >= LATE:
            if self._where is None or now - self._told >= AGAIN:
                self._told = now
                self._where, place = self._blocker()
                self._troubles.failed(What.LOOP, f"code blocks the event loop: {place}", _TODO, where=self._where)
        elif self._where is not None and late < LATE:
            self._troubles.works(What.LOOP, self._where)
            self._where = None
        if not self._asked:
            self._asked = True
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._beat)

    def _beat(self) -> None:
        self._asked, self._beaten = False, self._seconds()

    def _work(self) -> None:
        while not self._stop.wait(EVERY):
            self.look()

    def _blocker(self) -> tuple[str, str]:
        """Return the name of the flow that runs, if one does, and the calls that it stands in."""
        task = asyncio.current_task(self._loop)
        name = task.get_name() if task else ""
        frame = sys._current_frames().get(self._watched)  # noqa: SLF001 - there is no other way to another thread's stack
        if frame is None:
            return "", "an unknown place"
        stack = reversed(
            [(each.f_code.co_filename, line, each.f_code.co_name) for each, line in traceback.walk_stack(frame)]
        )
        calls = user_calls(stack)
        if len(calls) > _MOST_CALLS:
            calls = [*calls[: _MOST_CALLS - 1], "…", calls[-1]]
        return name.removeprefix(_FLOW) if name.startswith(_FLOW) else "", " > ".join(calls)
