"""An event loop in which waiting takes no time: it jumps to the next timer."""

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
"""Maximum number of loop iterations at one moment; more means an endless loop."""


Ready = list[tuple[selectors.SelectorKey, int]]
Look = Callable[[float], Ready]


class Stuck(RuntimeError):
    """Everything waits without a timer or task to end it, or loops without end."""


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose time passes only when it would wait. It uses no sockets."""

    def __init__(self) -> None:
        self._selector_of_time = _TimeSelector()
        super().__init__(self._selector_of_time)

    def time(self) -> float:
        """Virtual seconds since the loop was created."""
        return self._selector_of_time.seconds

    def before_time_passes(self, ask: Callable[[Look], Ready]) -> None:
        """Call `ask`, which looks for work in real time, before virtual time passes."""
        self._selector_of_time.before_time_passes = ask

    def jump(self, duration: timedelta) -> None:
        """Move the clock forward, as on a machine that was asleep."""
        self._selector_of_time.seconds += duration.total_seconds()

    def run_in_executor(
        self,
        executor: Executor | None,  # noqa: ARG002 - everything runs here
        func: Callable[[*Ts], T],
        *args: *Ts,
    ) -> asyncio.Future[T]:
        """Run the call immediately: in virtual time nothing is concurrent."""
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - raised again where it is awaited
            future.set_exception(error)
        return future


class _TimeSelector(selectors.SelectSelector):
    """Advances time instead of waiting for input."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0
        self._rounds = 0  # since time last passed
        self.before_time_passes: Callable[[Look], Ready] = lambda _: []

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._rounds += 1
        if self._rounds > MOST_ROUNDS:
            self._rounds = 0
            raise Stuck("there is always work to do at once, so no time passes")
        if timeout == 0:  # work is pending; outside input is checked before time passes
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
    """A virtual loop's time as a date. `skew` is how far this clock is ahead."""

    def __init__(self, loop: VirtualTimeLoop, skew: timedelta = timedelta(0)) -> None:
        self._loop = loop
        self.skew = skew

    def now(self) -> datetime:
        """The current time, aware, in UTC, to the microsecond."""
        return EPOCH + timedelta(microseconds=round(self._loop.time() * 1_000_000)) + self.skew


def run_virtual(main: Callable[[VirtualTimeLoop], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine in a virtual-time loop of its own, and clean up.

    Raises:
        Stuck: it would wait forever.
    """
    loop = VirtualTimeLoop()
    try:
        return loop.run_until_complete(main(loop))
    finally:
        end_tasks(loop)
        loop.close()


def end_tasks(loop: VirtualTimeLoop) -> None:
    """Cancel the remaining tasks repeatedly, in case a flow catches its cancellation."""
    for _ in range(10):
        left = [task for task in asyncio.all_tasks(loop) if not task.done()]
        if not left:
            return
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.wait(left, timeout=0.001))
