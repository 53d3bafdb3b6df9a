"""The threads of plain functions: one each, in nobody's way."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta
from typing import Any

import pytest

from bot import Began, Chat, Flow
from bot.clock import SystemClock
from bot.flows.threads import Threads
from bot.flows.turn import Turn, TurnContext
from bot.store.interface import JournalEntry


async def test_functions_that_hang_leave_the_loops_own_pool_free() -> None:
    """Host names are looked up there, and so a release may depend on it."""
    loop, go_on = asyncio.get_running_loop(), threading.Event()
    hung = [loop.run_in_executor(Threads(), go_on.wait) for _ in range(100)]
    assert await loop.run_in_executor(None, lambda: "free") == "free"
    assert await loop.run_in_executor(Threads(), lambda: "free") == "free"
    go_on.set()
    assert await asyncio.gather(*hung) == [True] * 100


async def test_the_end_of_the_program_waits_for_none_of_them() -> None:
    """They are daemons."""
    thread = await asyncio.get_running_loop().run_in_executor(Threads(), threading.current_thread)
    assert thread.daemon
    assert thread is not threading.main_thread()


async def test_a_call_of_a_plain_function_runs_in_one_of_them() -> None:
    """With the context variables of the flow."""

    async def nothing(*_: Any) -> Any:
        """No flow, no history."""

    began = JournalEntry(1, 0, "began", "flow")
    context = TurnContext("c", 1, Began("message"), [began], {}, SystemClock(), timedelta(1), nothing)
    chat = Chat(Turn(Flow("flow", nothing), context, notify=lambda: None))
    assert await chat.call(lambda: threading.current_thread().name) == "flow call"


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(3), KeyboardInterrupt()])
async def test_what_a_function_raises_belongs_to_whoever_waits_for_it(error: BaseException) -> None:
    """Whatever it is; the thread ends quietly."""

    def raises() -> None:
        raise error

    future = Threads().submit(raises)
    with pytest.raises(type(error)):
        future.result(timeout=60)


def test_a_call_that_was_cancelled_before_it_began_does_not_run() -> None:
    """As with any executor."""
    ran: list[int] = []
    started, go_on = threading.Event(), threading.Event()

    class Late(threading.Thread):
        def run(self) -> None:
            started.set()
            go_on.wait(5)
            super().run()

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("bot.flows.threads.Thread", Late)
        future = Threads().submit(ran.append, 1)
    assert started.wait(5)
    assert future.cancel()
    go_on.set()
    for thread in threading.enumerate():
        if isinstance(thread, Late):
            thread.join(5)
    assert ran == []
