"""Calls the clean-up functions of finished runs, one at a time, beside everything else.

Nothing waits for them: not the release, not a message, not the next run. They are kept in the outbox, so that they
outlive a restart, and each runs at least once. A row of the outbox is data: it can only choose among the functions of
FLOWS (`bot.flows.functions`), and one that can't be called fails alone, at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from pydantic import TypeAdapter, ValidationError

from bot.control.facts import (
    Fact,
    FlowFailed,
    FlowHandedOver,
    FlowMismatched,
    FlowReleased,
    FlowReminded,
    FlowReturned,
    TimePassed,
)
from bot.control.policy import backoff
from bot.control.state import Conversation, Run
from bot.flows.chat import CLEAN_UP_TIMEOUT_LIMIT
from bot.flows.functions import Functions, NotFound, run
from bot.flows.outcome import Outcome, When, outcome_named, with_outcome
from bot.flows.turn import ON_END, RAISED, WITHDRAWN
from bot.store.interface import CleanUp, JournalEntry, OutboxItem

PATIENCE = timedelta(hours=1)  # then a clean-up is given up, however often it has been tried

_CLEAN_UP = TypeAdapter(CleanUp)
_WHEN: TypeAdapter[When] = TypeAdapter(When)

_detached: set[asyncio.Task[Failure | None]] = set()  # clean-ups of conversations that are not stored any more


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong with a clean-up; `final` if no further attempt can help."""

    words: str
    final: bool = False


def outcome_of(fact: Fact, run: Run, after: Conversation, now: datetime) -> Outcome:
    """How a run ended: by the fact that ended it, and by what the conversation is like after that."""
    match fact:
        case FlowReturned():
            return Outcome.COMPLETE
        case FlowReleased() | FlowReminded():
            return Outcome.RELEASED
        case FlowHandedOver():
            return Outcome.HANDED_OVER
        case FlowFailed() | FlowMismatched():
            return Outcome.FAILED
        case TimePassed() if now >= run.deadline:
            return Outcome.TIMED_OUT
        case _:
            return Outcome.ENDED if after.ended else Outcome.INTERRUPTED


def chosen_by(journal: Iterable[JournalEntry], run_id: int, outcome: Outcome) -> Outcome:
    """The outcome of a run: failed, where the end was chosen by the handler of an error that the flow has raised."""
    has_raised = any(entry.run_id == run_id and entry.kind == RAISED for entry in journal)
    return Outcome.FAILED if outcome.went_well and has_raised else outcome


def clean_ups_of(
    journal: Iterable[JournalEntry], run_id: int, outcome: Outcome, new_id: Callable[[], str]
) -> tuple[list[CleanUp], list[str]]:
    """Return the clean-ups that are due after a run, newest first, and what is wrong with those that can't be read.

    The newest comes first because it may rest on the older ones. Not due is what the flow has withdrawn, and what was
    meant for a failure where there was none. An entry of an earlier version says nothing about when: it is due always.
    """
    entries = [entry for entry in journal if entry.run_id == run_id]
    withdrawn = {entry.key for entry in entries if entry.kind == WITHDRAWN}
    readable: list[CleanUp] = []
    unreadable: list[str] = []
    for entry in reversed([entry for entry in entries if entry.kind == ON_END and str(entry.index) not in withdrawn]):
        try:
            when = _WHEN.validate_python({"when": "always", **entry.data}["when"])
            if when == "failed" and outcome.went_well:
                continue
            known = {"effect_id": new_id(), "run_id": run_id, "function": entry.key, "outcome": outcome.value}
            readable.append(_CLEAN_UP.validate_python({**entry.data, **known}))
        except (TypeError, ValidationError):
            unreadable.append(f"journal entry {entry.index} can't be read")
    return readable, unreadable


async def clean_up(effect: CleanUp, functions: Functions) -> Failure | None:
    """Call the function once. Returns what went wrong; None if nothing did."""
    try:
        function = functions.find(effect.function)
    except NotFound as error:
        return Failure(str(error), final=True)
    if not 0 < effect.timeout <= CLEAN_UP_TIMEOUT_LIMIT.total_seconds():
        return Failure("its timeout is out of bounds", final=True)
    try:
        async with asyncio.timeout(effect.timeout):
            outcome = outcome_named(effect.outcome)
            await run(function, effect.args, with_outcome(function, effect.args, effect.kwargs, outcome))
    except (Exception, SystemExit, KeyboardInterrupt) as error:  # noqa: BLE001 - the team's own, and only to be told
        return Failure(type(error).__name__)
    return None


def clean_up_once(effects: Sequence[CleanUp], functions: Functions) -> None:
    """Try clean-ups that can't be stored once each, in the background."""
    for effect in effects:
        name = f"clean up {effect.effect_id}"
        task = asyncio.get_running_loop().create_task(clean_up(effect, functions), name=name)
        _detached.add(task)
        task.add_done_callback(_detached.discard)


class Aftermath:
    """The clean-ups of one conversation while a worker holds its lease. `done` is called whenever one is over."""

    def __init__(self, functions: Functions, done: Callable[[], None]) -> None:
        self._functions = functions
        self._done = done
        self._under_way: tuple[OutboxItem, asyncio.Task[Failure | None]] | None = None

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
            work = clean_up(item.effect, self._functions)
            task = asyncio.get_running_loop().create_task(work, name=f"clean up {item.id}")
            task.add_done_callback(lambda _: self._done())
            self._under_way = (item, task)

    def take(self, now: datetime) -> tuple[OutboxItem, OutboxItem | None, str] | None:
        """Return the clean-up that is over, its next attempt if there is one, and what went wrong (nothing: empty)."""
        if self._under_way is None or not self._under_way[1].done():
            return None
        item, task = self._under_way
        self._under_way = None
        failure = Failure("cancelled") if task.cancelled() else task.result()
        if failure is None:
            return item, None, ""
        attempts = item.attempts + 1
        allowed = item.effect.attempts if isinstance(item.effect, CleanUp) and not failure.final else 0
        if attempts < allowed and now - item.created_at < PATIENCE:
            again = replace(item, attempts=attempts, next_attempt=now + backoff(attempts, item.id))
            return item, again, failure.words
        return item, None, failure.words

    def cut_off(self) -> None:
        """Stop; what is under way begins anew, here or elsewhere."""
        if self._under_way:
            self._under_way[1].cancel()
            self._under_way = None
