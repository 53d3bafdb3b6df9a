"""A thread that runs virtual-time loops, one job at a time, while the test waits.

A test may run in an event loop of its own, and loops can't be nested. So the talk's loop
has a thread. Meanwhile the test's loop blocks, for a few milliseconds.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar, cast

T = TypeVar("T")

JOIN_TIMEOUT = 5.0  # seconds for the thread to end; a thread blocked by a flow is abandoned


class LoopThread:
    """Runs jobs in a daemon thread, with the context variables of the caller."""

    def __init__(self) -> None:
        self._jobs: SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = SimpleQueue()
        self._thread = Thread(target=self._work, name="chat_with", daemon=True)
        self._thread.start()

    def run(self, job: Callable[[], T]) -> T:
        """Run a job; return its result or raise its exception."""
        future: Future[Any] = Future()
        context = contextvars.copy_context()
        self._jobs.put((lambda: context.run(job), future))
        return cast("T", future.result())

    def stop(self) -> None:
        """Stop the thread."""
        self._jobs.put(None)
        self._thread.join(JOIN_TIMEOUT)

    def _work(self) -> None:
        while (asked := self._jobs.get()) is not None:
            job, future = asked
            try:
                result = job()
            except BaseException as error:  # noqa: BLE001 - raised again in `run`
                future.set_exception(error)
            else:
                future.set_result(result)
