"""The database is asked also while nothing is to be stored, and written to while it is in trouble."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, cast

from bot.database_watch import DatabaseWatch
from bot.replay.virtual_time import VirtualTimeLoop
from bot.signals import Signal
from bot.store import Database, Unavailable
from bot.troubles import Troubles, What


class Disk:
    """A database that does what the test wants."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answers: Callable[[str], Coroutine[Any, Any, None]] = self._well

    async def _well(self, _: str) -> None:
        return

    async def ping(self) -> None:
        """A look."""
        self.asked.append("ping")
        await self.answers("ping")

    async def probe(self) -> None:
        """A write."""
        self.asked.append("probe")
        await self.answers("probe")


def watched(
    script: Callable[[Disk, Troubles], Coroutine[Any, Any, None]],
) -> list[tuple[float, str]]:
    """Run a script beside a watch in virtual time, and return the lines with their seconds."""
    told: list[tuple[float, str]] = []
    loop = VirtualTimeLoop()

    def note(signal: Signal) -> None:
        told.append((loop.time(), signal.event))

    async def run() -> None:
        disk, troubles = Disk(), Troubles(note, loop.time)
        task = asyncio.create_task(DatabaseWatch(cast("Database", disk), troubles, loop.time).run())
        await script(disk, troubles)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(run())
    return told


def test_a_full_disk_ends_only_with_a_write() -> None:
    """It can be read all the time."""

    async def script(disk: Disk, troubles: Troubles) -> None:
        async def full(asked: str) -> None:
            if asked == "probe":
                raise Unavailable("the disk is full")

        disk.answers = full
        troubles.failed(What.DATABASE, "the disk is full", "Make room.")
        await asyncio.sleep(30)
        assert "ping" not in disk.asked[1:]
        assert troubles.fails(What.DATABASE) == "the disk is full"
        disk.answers = disk._well
        await asyncio.sleep(2.5)
        assert troubles.fails(What.DATABASE) == ""
        await asyncio.sleep(20)
        assert disk.asked[-1] == "ping"

    assert [event for _, event in watched(script)] == ["trouble_began", "trouble_over"]


def test_a_lock_is_told_before_anybody_gives_up() -> None:
    """No answer counts as a failure after three seconds, once for each question; an answer ends it."""

    async def script(disk: Disk, troubles: Troubles) -> None:
        async def locked(_: str) -> None:
            await asyncio.sleep(10)

        disk.answers = locked
        await asyncio.sleep(16)
        disk.answers = disk._well
        await asyncio.sleep(20)
        assert not troubles.lasts(What.DATABASE)

    (first, began), *rest = watched(script)
    assert began == "trouble_began"
    assert first <= 7
    assert [event for _, event in rest] == ["trouble_over"]


def test_a_database_out_of_reach_is_told_while_all_is_quiet() -> None:
    """Within three seconds."""

    async def script(disk: Disk, _: Troubles) -> None:
        async def away(_: str) -> None:
            raise Unavailable("it is out of reach")

        disk.answers = away
        await asyncio.sleep(50)

    assert watched(script) == [(3.0, "trouble_began")]
