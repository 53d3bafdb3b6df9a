"""The event loop of a talk: virtual time; refuses real I/O and waits for threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, Never, TypeVar, TypeVarTuple

from bot.replay.virtual_time import Look, Ready, VirtualTimeLoop

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

THREAD_TIMEOUT = 0.025  # real seconds to wait for the flow's threads before virtual time passes

_TODO = (
    "chat_with runs in virtual time, so a flow can't wait for anything outside. Use a stand-in: replace the "
    "function that the flow calls (monkeypatch), a client's transport, or the resources of its @lifespan "
    "(chat_with(…, resources={…})). A plain function behind chat.call, one without `async`, may do real I/O."
)


class RealIO(RuntimeError):
    """A flow under test tried to connect or start a program; the text says what to do."""


class TalkLoop(VirtualTimeLoop):
    """Virtual time for flows under test.

    Attributes:
        refused: descriptions of the refused operations so far.
    """

    def __init__(self) -> None:
        super().__init__()
        self.refused: list[str] = []
        self._known = set(threading.enumerate())
        self.before_time_passes(self._wait_for_threads)

    def _refuse(self, what: str) -> Never:
        sentence = f"the flow {what}: {_TODO}"
        self.refused.append(sentence)
        raise RealIO(sentence)

    def _wait_for_threads(self, look: Look) -> Ready:
        """Wait briefly for threads started since, such as a database driver's own."""
        mine = threading.current_thread()
        if any(thread not in self._known and thread is not mine for thread in threading.enumerate()):
            return look(THREAD_TIMEOUT)
        return []

    def run_in_executor(
        self,
        executor: Executor | None,
        func: Callable[[*Ts], T],
        *args: *Ts,
    ) -> asyncio.Future[T]:
        """Run a call in this thread, but later, so that concurrent steps are noticed."""
        future: asyncio.Future[T] = self.create_future()

        def run() -> None:
            if not future.done():
                TalkLoop._settle(
                    future,
                    super(TalkLoop, self).run_in_executor(executor, func, *args),
                )

        self.call_soon(run)
        return future

    @staticmethod
    def _settle(future: asyncio.Future[T], done: asyncio.Future[T]) -> None:
        if error := done.exception():
            future.set_exception(error)
        else:
            future.set_result(done.result())

    async def create_connection(  # type: ignore[override]
        self,
        _: Any,
        host: Any = None,
        port: Any = None,
        **__: Any,
    ) -> Never:
        """Refuse."""
        self._refuse(f"connects to {host}:{port}")

    async def create_datagram_endpoint(self, *_: Any, **__: Any) -> Never:
        """Refuse."""
        self._refuse("opens a datagram socket")

    async def create_unix_connection(self, _: Any, path: Any = None, **__: Any) -> Never:  # type: ignore[override]
        """Refuse."""
        self._refuse(f"connects to {path}")

    async def getaddrinfo(self, host: Any, port: Any, **__: Any) -> Never:
        """Refuse."""
        self._refuse(f"looks for the address of {_text(host)}:{port}")

    async def sock_connect(self, _: Any, address: Any) -> Never:
        """Refuse."""
        self._refuse(f"connects to {address}")

    async def subprocess_exec(self, _: Any, program: Any = None, *__: Any, **___: Any) -> Never:  # type: ignore[override]
        """Refuse."""
        self._refuse(f"starts the program {_text(program)}")

    async def subprocess_shell(self, *_: Any, **__: Any) -> Never:
        """Refuse."""
        self._refuse("starts a command in a shell")


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
