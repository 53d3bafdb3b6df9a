"""Kills the bot's process before and after every save of a flow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bot.replay.harness import Process, Stage

DEATHS_LIMIT = 1000  # per talk; a talk that needs more would never end


class Deaths:
    """Kills the process before each save; the next process repeats the save and dies.

    So every step of a flow is taken at least twice, and continued by another process. A
    process survives if the flow has not moved since the last death, or is over. This is
    necessary because an ambiguous control action is never just repeated: finding out
    whether it happened takes a process more than one save.

    Args:
        stage: runs the bot's processes.
        conversation_id: returns the talk's conversation; None before there is one.

    Attributes:
        count: the number of deaths so far.
    """

    def __init__(self, stage: Stage, conversation_id: Callable[[], str | None]) -> None:
        self._stage = stage
        self._conversation_id = conversation_id
        self._died_before = False
        self._dies_after = False
        self._stood: tuple[Any, ...] | None = None  # the flow's progress at the last death
        self.count = 0
        stage.interference.store, stage.interference.stored = self._before, self._after

    async def _before(self, process: Process, operation: str) -> None:
        if operation != "save" or self.count >= DEATHS_LIMIT:
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
