"""Detects from another thread that code blocks an event loop, and which code it is."""

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

CHECK_INTERVAL = 0.5  # seconds between checks
BLOCKED_AFTER = 2.0  # seconds without an answer until the loop counts as blocked
REPORT_INTERVAL = 60.0  # seconds between reports of an ongoing block
STUCK_AFTER = 15.0  # seconds until the process counts as not alive
_FLOW = "flow "  # prefix of the names of tasks that run flows
_MAX_CALLS = 4

_TODO = (
    "Conversations are stalled; webhooks are stored. Call blocking code with "
    "`await chat.call(function, …)`, which runs a plain function in a thread, or use an asyncio "
    "library."
)


class LoopWatch:
    """Watches the running event loop from another thread.

    Args:
        troubles: receives reports of a blocked loop.
        seconds: a monotonic clock.
    """

    def __init__(self, troubles: Troubles, seconds: Callable[[], float] = monotonic) -> None:
        self._troubles = troubles
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._watched = threading.get_ident()
        self._beaten = self._looked = seconds()
        self._asked = False
        self._reported = 0.0
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
        """Return whether the loop has been blocked for so long that a restart is needed."""
        return self._where is not None and self._seconds() - self._beaten >= STUCK_AFTER

    def look(self) -> None:
        """Request a heartbeat from the loop, and report if one is overdue."""
        now = self._seconds()
        slept, self._looked = now - self._looked, now
        # If this thread was delayed too, the machine is overloaded or was suspended.
        if slept >= BLOCKED_AFTER:
            self._beaten = max(self._beaten, now - CHECK_INTERVAL)
        late = now - self._beaten
        if self._asked and late >= BLOCKED_AFTER:
            if self._where is None or now - self._reported >= REPORT_INTERVAL:
                self._reported = now
                self._where, place = self._blocker()
                problem = f"code blocks the event loop: {place}"
                self._troubles.failed(What.LOOP, problem, _TODO, where=self._where)
        elif self._where is not None and late < BLOCKED_AFTER:
            self._troubles.works(What.LOOP, self._where)
            self._where = None
        if not self._asked:
            self._asked = True
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._beat)

    def _beat(self) -> None:
        self._asked, self._beaten = False, self._seconds()

    def _work(self) -> None:
        while not self._stop.wait(CHECK_INTERVAL):
            self.look()

    def _blocker(self) -> tuple[str, str]:
        """Return the name of the running flow, if any, and its chain of calls."""
        task = asyncio.current_task(self._loop)
        name = task.get_name() if task else ""
        # There is no other way to another thread's stack.
        frame = sys._current_frames().get(self._watched)  # noqa: SLF001
        if frame is None:
            return "", "an unknown place"
        frames = [(each.f_code.co_filename, line, each.f_code.co_name) for each, line in traceback.walk_stack(frame)]
        calls = user_calls(reversed(frames))
        if len(calls) > _MAX_CALLS:
            calls = [*calls[: _MAX_CALLS - 1], "…", calls[-1]]
        flow = name.removeprefix(_FLOW) if name.startswith(_FLOW) else ""
        return flow, " > ".join(calls)
