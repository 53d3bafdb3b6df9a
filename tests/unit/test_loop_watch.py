"""The watch on an event loop: who blocks it is told with name and line, once, and that it is over."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path

import pytest

from bot.loop_thread import LoopThread
from bot.loop_watch import BLOCKED_AFTER, REPORT_INTERVAL, STUCK_AFTER, LoopWatch
from bot.signals import Signal
from bot.troubles import CALM, Troubles, What

WORDS = "words of a customer"


class _Watched:
    """A loop that the test holds up, and what is told of it, in a time of its own."""

    def __init__(self) -> None:
        self.now = 0.0
        self.told: list[Signal] = []
        self.troubles = Troubles(self.told.append, lambda: self.now)
        self.watch = LoopWatch(self.troubles, lambda: self.now)

    def look_for(self, seconds: float) -> None:
        """Look as the thread does, while this loop can't answer."""
        until = self.now + seconds
        while self.now < until:
            self.now += 0.5
            self.watch.look()

    @property
    def lines(self) -> list[str]:
        """The events that were told."""
        return [signal.event for signal in self.told]


@pytest.fixture
async def watched() -> _Watched:
    """A loop that runs."""
    return _Watched()


async def test_a_loop_that_answers(watched: _Watched) -> None:
    """Nothing is told of it, however long it is watched."""
    for _ in range(20):
        watched.look_for(0.5)
        await asyncio.sleep(0)
    assert watched.told == []


async def test_a_flow_that_blocks(watched: _Watched) -> None:
    """One line with the flow's name and its line, no value, and one when it is over."""

    async def blocks(_: str) -> None:
        _slow(watched)

    task = asyncio.create_task(blocks(WORDS), name="flow orders")
    await task
    assert watched.lines == ["trouble_began"]
    fields = watched.told[0].fields
    assert (fields["what"], fields["where"]) == (What.LOOP, "orders")
    assert f"{Path(__file__).name}:" in str(fields["problem"])
    assert " in blocks > " in str(fields["problem"])
    assert " in _slow" in str(fields["problem"])
    assert WORDS not in str(watched.told)
    await asyncio.sleep(0)
    watched.look_for(0.5)
    watched.now += CALM
    watched.troubles.look()
    assert watched.lines == ["trouble_began", "trouble_over"]


def _slow(watched: _Watched) -> None:
    watched.look_for(BLOCKED_AFTER + 20)


async def test_a_block_that_lasts(watched: _Watched) -> None:
    """It is told after 1 and 4 minutes again, and no oftener; and the process counts as dead meanwhile."""
    watched.look_for(STUCK_AFTER - 1)
    assert not watched.watch.is_stuck()
    watched.look_for(2)
    assert watched.watch.is_stuck()
    watched.look_for(5 * REPORT_INTERVAL)
    assert watched.lines == ["trouble_began", "trouble_lasts", "trouble_lasts"]
    await asyncio.sleep(0)
    watched.look_for(0.5)
    assert not watched.watch.is_stuck()


async def test_a_machine_that_slept(watched: _Watched) -> None:
    """If the watch itself stood still, the loop is not to blame."""
    watched.look_for(1)
    await asyncio.sleep(0)
    watched.now += 3600
    watched.watch.look()
    await asyncio.sleep(0)
    watched.look_for(1)
    assert watched.told == []


async def test_the_thread() -> None:
    """It looks by itself while the loop is blocked."""
    told: list[Signal] = []
    watch = LoopWatch(Troubles(told.append))
    watch.start()
    await asyncio.sleep(0)
    deadline = time.monotonic() + 20
    while not told and time.monotonic() < deadline:
        time.sleep(0.05)  # noqa: ASYNC251 - what the test is about
    await watch.stop()
    assert [signal.event for signal in told] == ["trouble_began"]


async def test_another_loop_goes_on() -> None:
    """What runs in a `LoopThread` is not held up by a loop that is blocked; results and errors come back."""
    thread = LoopThread("beside", lambda _, __: None)
    thread.start()
    went_on = threading.Event()

    async def work() -> int:
        went_on.set()
        return threading.get_ident()

    async def fails() -> None:
        raise OSError("no port")

    begun = asyncio.create_task(thread.run(work()))
    await asyncio.sleep(0)
    assert went_on.wait(20)  # this loop stands still meanwhile
    assert await begun != threading.get_ident()
    with pytest.raises(OSError, match="no port"):
        await thread.run(fails())
    await thread.stop()
