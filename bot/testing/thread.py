"""A thread in which virtual-time loops run, one job after the other, while the test waits for each.

A test may run in an event loop of its own, whichever plugin has made it, and no loop runs within another. So the talk's
loop has a thread; the test's own loop stands still meanwhile, which costs it nothing but milliseconds.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar, cast

T = TypeVar("T")

PATIENCE = 5.0  # seconds for the thread to end; a flow that blocks it for ever is left behind


class LoopThread:
    """Runs jobs in a daemon thread, with the context variables of whoever asks."""

    def __init__(self) -> None:
        self._jobs: SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = SimpleQueue()
        self._thread = Thread(target=self._work, name="chat_with", daemon=True)
        self._thread.start()

    def run(self, job: Callable[[], T]) -> T:
        """Run a job and return what it returns, or raise what it raises."""
        future: Future[Any] = Future()
        context = contextvars.copy_context()
        self._jobs.put((lambda: context.run(job), future))
        return cast("T", future.result())

    def stop(self) -> None:
        """End the thread."""
        self._jobs.put(None)
        self._thread.join(PATIENCE)

    def _work(self) -> None:
        while (asked := self._jobs.get()) is not None:
            job, future = asked
            try:
                result = job()
            except BaseException as error:  # noqa: BLE001 - it belongs to whoever waits for it
                future.set_exception(error)
            else:
                future.set_result(result)
