"""Kills the bot's process at every save of a flow: once before it, and once after it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bot.replay.harness import Process, Stage

MOST = 1000  # deaths of one talk; what takes more would never end


class Deaths:
    """Kills the process before each save; the next process repeats the save, and dies after it.

    So every step of a flow is taken at least twice, and each goes on in another process. A process lives where nothing
    has changed for the flow since the last death, and once the flow is over: a control action that may have been
    carried out is never just repeated, and to find out takes a process more than one save.

    Args:
        stage: where the bot's processes run.
        conversation_id: the conversation of the talk; None before there is one.

    Attributes:
        count: deaths so far.
    """

    def __init__(self, stage: Stage, conversation_id: Callable[[], str | None]) -> None:
        self._stage = stage
        self._conversation_id = conversation_id
        self._died_before = False
        self._dies_after = False
        self._stood: tuple[Any, ...] | None = None  # how far the flow had come when it last died
        self.count = 0
        stage.interference.store, stage.interference.stored = self._before, self._after

    async def _before(self, process: Process, operation: str) -> None:
        if operation != "save" or self.count >= MOST:
            return
        stands = await self._stands()
        if stands is None or stands == self._stood:
            return
        if not self._died_before:
            self._died_before = True
            self._replace(process)
        self._died_before, self._dies_after = False, True
        self._stood = stands

    async def _after(self, process: Process, operation: str) -> None:
        if operation == "save" and self._dies_after:
            self._dies_after = False
            self._replace(process)

    async def _stands(self) -> tuple[Any, ...] | None:
        """Return a measure of the flow's progress; None if no flow is running and no event could start one."""
        conversation_id = self._conversation_id()
        state = await self._stage.state(conversation_id) if conversation_id else None
        inbox = (await self._stage.store.counts(self._stage.clock.now())).inbox
        run = state.run if state else None
        if state and not run and not inbox:
            return None
        return (run and (run.id, run.status, run.until), inbox, self._stage.progress())

    def _replace(self, process: Process) -> None:
        self.count += 1
        self._stage.loop.create_task(self._revive())
        process.die_here()

    async def _revive(self) -> None:
        await self._stage.free_claims()
        await self._stage.start_process()
