"""What a flow wants done once its run is over: its clean-ups, one at a time, beside everything else.

Nothing waits for them: not the release, not a message, not the next run. They are kept in the outbox, so that they
outlive a restart, and each runs at least once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from bot.control.policy import backoff
from bot.flows import functions
from bot.flows.turn import ON_END
from bot.store.interface import CleanUp, JournalEntry, OutboxItem

PATIENCE = timedelta(hours=1)  # then a clean-up is given up, however often it has been tried

_detached: set[asyncio.Task[str]] = set()  # clean-ups of conversations that are not stored any more


def clean_ups_of(journal: Iterable[JournalEntry], run_id: int, new_id: Callable[[], str]) -> list[CleanUp]:
    """What the flow of a run has registered, the last first: it may rest on what came before it."""
    noted = [entry for entry in journal if entry.run_id == run_id and entry.kind == ON_END]
    return [CleanUp(new_id(), run_id, entry.key, **entry.data) for entry in reversed(noted)]


async def clean_up(effect: CleanUp) -> str:
    """Call the function once, and say what went wrong; nothing is empty."""
    try:
        async with asyncio.timeout(effect.timeout):
            await functions.run(functions.find(effect.function), effect.args, effect.kwargs)
    except (Exception, SystemExit, KeyboardInterrupt) as error:  # noqa: BLE001 - the team's own, and only to be told
        return type(error).__name__ if not isinstance(error, functions.NotFound) else str(error)
    return ""


def clean_up_once(effects: Sequence[CleanUp]) -> None:
    """Try clean-ups that can't be kept, once and for all, in the background."""
    for effect in effects:
        task = asyncio.get_running_loop().create_task(clean_up(effect), name=f"clean up {effect.effect_id}")
        _detached.add(task)
        task.add_done_callback(_detached.discard)


class Aftermath:
    """The clean-ups of one conversation while a worker holds its lease. `done` is called whenever one is over."""

    def __init__(self, done: Callable[[], None]) -> None:
        self._done = done
        self._under_way: tuple[OutboxItem, asyncio.Task[str]] | None = None

    @property
    def is_busy(self) -> bool:
        """Is one under way?"""
        return self._under_way is not None

    def due(self, outbox: Iterable[OutboxItem]) -> datetime | None:
        """When the next one is to be begun; None while one is under way, or where there is none."""
        waiting = (item.next_attempt for item in outbox if isinstance(item.effect, CleanUp))
        return None if self._under_way else min(waiting, default=None)

    def start(self, outbox: Iterable[OutboxItem], now: datetime) -> None:
        """Begin the next one that is due."""
        due = (item for item in outbox if isinstance(item.effect, CleanUp) and item.next_attempt <= now)
        item = None if self._under_way else next(due, None)
        if item and isinstance(item.effect, CleanUp):
            task = asyncio.get_running_loop().create_task(clean_up(item.effect), name=f"clean up {item.id}")
            task.add_done_callback(lambda _: self._done())
            self._under_way = (item, task)

    def take(self, now: datetime) -> tuple[OutboxItem, OutboxItem | None, str] | None:
        """The one that is over, itself again if it is to be tried once more, and what went wrong."""
        if self._under_way is None or not self._under_way[1].done():
            return None
        item, task = self._under_way
        self._under_way = None
        error = "cancelled" if task.cancelled() else task.result()
        attempts = item.attempts + 1
        allowed = item.effect.attempts if isinstance(item.effect, CleanUp) else 0
        if error and attempts < allowed and now - item.created_at < PATIENCE:
            return item, replace(item, attempts=attempts, next_attempt=now + backoff(attempts, item.id)), error
        return item, None, error

    def cut_off(self) -> None:
        """Stop; what is under way begins anew, here or elsewhere."""
        if self._under_way:
            self._under_way[1].cancel()
            self._under_way = None
