"""An event loop in which waiting costs nothing: when nothing is left to do now, time jumps to the next timer."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

EPOCH = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)


MOST_ROUNDS = 300_000
"""Rounds of the loop at one moment. What takes more goes round without end, and time would never pass again."""


Ready = list[tuple[selectors.SelectorKey, int]]
Look = Callable[[float], Ready]


class Stuck(RuntimeError):
    """Everything waits for something that no timer and no task will ever bring, or goes round without end."""


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose time passes only while it would wait, and then at once. It touches no socket."""

    def __init__(self) -> None:
        self._selector_of_time = _TimeSelector()
        super().__init__(self._selector_of_time)

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._selector_of_time.seconds

    def before_time_passes(self, ask: Callable[[Look], Ready]) -> None:
        """Let `ask` look for something to do, in real time, whenever virtual time is about to pass."""
        self._selector_of_time.before_time_passes = ask

    def jump(self, duration: timedelta) -> None:
        """Let the clock jump forward, as a machine that was asleep does."""
        self._selector_of_time.seconds += duration.total_seconds()

    def run_in_executor(
        self,
        executor: Executor | None,  # noqa: ARG002 - there is only here and now
        func: Callable[[*Ts], T],
        *args: *Ts,
    ) -> asyncio.Future[T]:
        """Run it here and now: in virtual time nothing happens at the same time."""
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - it belongs to whoever awaits it
            future.set_exception(error)
        return future


class _TimeSelector(selectors.SelectSelector):
    """Instead of waiting for input, lets time pass."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0
        self._rounds = 0  # at this moment
        self.before_time_passes: Callable[[Look], Ready] = lambda _: []

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._rounds += 1
        if self._rounds > MOST_ROUNDS:
            self._rounds = 0
            raise Stuck("there is always something to do at once, and no time passes")
        if timeout == 0:  # there is something to do already; what comes from outside is looked for before time passes
            return []
        if ready := super().select(0) or self.before_time_passes(super().select):
            return ready
        if timeout is None:
            raise Stuck("nothing is left to do, and nothing will ever happen")
        if timeout > 0:
            self.seconds += timeout
            self._rounds = 0
        return []


class VirtualClock:
    """The time of a virtual loop as a date. `skew` is how far this clock is ahead."""

    def __init__(self, loop: VirtualTimeLoop, skew: timedelta = timedelta(0)) -> None:
        self._loop = loop
        self.skew = skew

    def now(self) -> datetime:
        """The current time, aware, in UTC, to the microsecond."""
        return EPOCH + timedelta(microseconds=round(self._loop.time() * 1_000_000)) + self.skew


def run_virtual(main: Callable[[VirtualTimeLoop], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine to its end in a virtual-time loop of its own, and clean up after it.

    Raises:
        Stuck: it waits for ever.
    """
    loop = VirtualTimeLoop()
    try:
        return loop.run_until_complete(main(loop))
    finally:
        end_tasks(loop)
        loop.close()


def end_tasks(loop: VirtualTimeLoop) -> None:
    """Cancel what is left, for as long as it takes even a flow that catches its cancellation, within bounds."""
    for _ in range(10):
        left = [task for task in asyncio.all_tasks(loop) if not task.done()]
        if not left:
            return
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.wait(left, timeout=0.001))
