"""Runs each plain function of `chat.call` in a thread of its own.

The event loop's own pool is not used: a few hanging functions would fill it, and every
release may need it for DNS lookups. The exit of the process would wait for them, too.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from threading import Thread
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Threads(Executor):
    """Starts each call at once, in a daemon thread of its own."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Start a call. Raises `RuntimeError` if no thread can be started."""
        future: Future[T] = Future()

        def run() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                result = fn(*args, **kwargs)
            except BaseException as error:  # noqa: BLE001 - raised again where it is awaited
                future.set_exception(error)
            else:
                future.set_result(result)

        Thread(target=run, name="flow call", daemon=True).start()
        return future
