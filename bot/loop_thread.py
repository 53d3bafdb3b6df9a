"""An event loop in its own thread, unaffected by code that blocks another loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

Handler = Callable[[asyncio.AbstractEventLoop, dict[str, Any]], None]


class LoopThread:
    """An event loop that runs in its own thread.

    Args:
        name: the thread's name.
        on_error: the loop's exception handler.
    """

    def __init__(self, name: str, on_error: Handler) -> None:
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(on_error)
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the loop. Cancelling the caller cancels it."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    async def stop(self) -> None:
        """Cancel the loop's tasks, and end the thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        await asyncio.to_thread(self._thread.join)

    def _work(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.get_loop().run_forever()
