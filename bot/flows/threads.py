"""A thread for each plain function that `chat.call` runs, and nobody waits for it.

Not the event loop's own pool: a few functions that hang would fill it up, and host names, which every release may need,
are looked up there. And the end of the process would wait for them.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from threading import Thread
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Threads(Executor):
    """Begins each call at once, in a daemon thread of its own."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Begin a call. Raises `RuntimeError` where the machine has no thread left."""
        future: Future[T] = Future()

        def run() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                result = fn(*args, **kwargs)
            except BaseException as error:  # noqa: BLE001 - it belongs to whoever awaits it
                future.set_exception(error)
            else:
                future.set_result(result)

        Thread(target=run, name="flow call", daemon=True).start()
        return future
