"""Calls the clean-up functions of finished runs, one at a time.

Nothing waits for them: no release, no message, no run. The outbox keeps them across
restarts, and each runs at least once. An outbox row is data: it can only select a
function of FLOWS (`bot.flows.functions`), and one that can't be called fails alone, at
once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from bot.control.state import Outcome
from bot.flows.chat import CLEAN_UP_TIMEOUT_LIMIT
from bot.flows.functions import Functions, NotFound, run
from bot.flows.outcome import When, outcome_named, with_offered
from bot.flows.turn import ON_END, RAISED, WITHDRAWN
from bot.store.interface import CleanUp, JournalEntry

_CLEAN_UP = TypeAdapter(CleanUp)
_WHEN: TypeAdapter[When] = TypeAdapter(When)

# Clean-ups of conversations that are no longer stored.
_detached: set[asyncio.Task[Failure | None]] = set()


@dataclass(frozen=True, slots=True)
class Failure:
    """Error of a clean-up; `final` if no retry can help."""

    words: str
    final: bool = False


def chosen_by(journal: Iterable[JournalEntry], run_id: int, outcome: Outcome) -> Outcome:
    """Return a run's outcome, corrected to failed if its flow raised.

    An error handler may have ended the flow normally after that.
    """
    has_raised = any(entry.run_id == run_id and entry.kind == RAISED for entry in journal)
    return Outcome.FAILED if outcome.went_well and has_raised else outcome


def clean_ups_of(
    journal: Iterable[JournalEntry],
    run_id: int,
    outcome: Outcome,
) -> tuple[list[CleanUp], list[str]]:
    """Return the clean-ups due after a run, newest first, and the errors of unreadable ones.

    The newest comes first because it may build on older ones. Withdrawn clean-ups are
    not due, nor those meant only for a failure if there was none. Entries of earlier
    versions don't say when; they are always due. The rules assign ids later.
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
            known = {"effect_id": "", "run_id": run_id, "function": entry.key, "outcome": outcome.value}
            readable.append(_CLEAN_UP.validate_python({**entry.data, **known}))
        except (TypeError, ValidationError):
            unreadable.append(f"journal entry {entry.index} can't be read")
    return readable, unreadable


async def clean_up(effect: CleanUp, functions: Functions, resources: Any = None) -> Failure | None:
    """Call a clean-up function once.

    Args:
        effect: names the function.
        functions: the functions that may be called.
        resources: what the team's lifespan opened; None without one.

    Returns:
        The failure; None on success.
    """
    try:
        function = functions.find(effect.function)
    except NotFound as error:
        return Failure(str(error), final=True)
    if not 0 < effect.timeout <= CLEAN_UP_TIMEOUT_LIMIT.total_seconds():
        return Failure("its timeout is out of bounds", final=True)
    try:
        async with asyncio.timeout(effect.timeout):
            offered: dict[str, Any] = {"outcome": outcome_named(effect.outcome)}
            if resources is not None:
                offered["resources"] = resources
            await run(
                function,
                effect.args,
                with_offered(function, effect.args, effect.kwargs, offered),
            )
    except (Exception, SystemExit, KeyboardInterrupt) as error:  # noqa: BLE001 - the team's code
        return Failure(type(error).__name__)
    return None


def clean_up_once(effects: Sequence[CleanUp], functions: Functions, resources: Any = None) -> None:
    """Try each clean-up that can't be stored once, in the background."""
    for effect in effects:
        name = f"clean up {effect.effect_id}"
        task = asyncio.get_running_loop().create_task(
            clean_up(effect, functions, resources),
            name=name,
        )
        _detached.add(task)
        task.add_done_callback(_detached.discard)
