"""The thread in which talks are played."""

from __future__ import annotations

import threading
from contextvars import ContextVar

import pytest

from bot.testing.thread import LoopThread

place: ContextVar[str] = ContextVar("place", default="nowhere")


def test_a_job_runs_in_one_thread_with_the_callers_context() -> None:
    """Always the same one, and what a test sets is seen."""
    thread = LoopThread()
    place.set("here")
    names = {thread.run(lambda: (threading.current_thread().name, place.get())) for _ in range(3)}
    thread.stop()
    assert names == {("chat_with", "here")}


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(3), KeyboardInterrupt()])
def test_what_a_job_raises_belongs_to_whoever_asked(error: BaseException) -> None:
    """And the thread goes on."""

    def raises() -> None:
        raise error

    thread = LoopThread()
    with pytest.raises(type(error)):
        thread.run(raises)
    assert thread.run(lambda: 5) == 5
    thread.stop()
