"""Replays the journal of a waiting run against the present code, without effects.

The flow's code runs from its first line, as in every turn, with the journal answering.
The first new step ends it. The handlers of all flows run as well.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Any

from bot.clock import Clock, SystemClock
from bot.control.facts import FlowFailed, FlowMismatched, FlowWaits
from bot.engine.flow_task import began_by, flow_of, gone, perform
from bot.flows.catalogue import Catalogue
from bot.flows.steps import described
from bot.flows.turn import CHANGED, MISMATCH, TOLD, Turn, TurnContext
from bot.store.interface import JournalEntry
from bot.store.operators import PAGE, OperatorStore, RunAtWork

PATIENCE = 5.0  # seconds for one journal


async def misfit(
    catalogue: Catalogue,
    conversation_id: str,
    journal: Sequence[JournalEntry],
    clock: Clock | None = None,
    resources: Any = None,
) -> str:
    """Return why a run could not continue with these flows; empty if it could.

    Args:
        catalogue: the present flows.
        conversation_id: the platform's conversation id.
        journal: the run's whole journal.
        clock: the machine's by default.
        resources: what the flows' lifespan opened; flows refer to its functions and
            result types.
    """
    if not journal:
        return ""
    first = journal[0]
    flow = flow_of(catalogue, first)
    if flow is None:
        return gone(catalogue, first)
    over = asyncio.Event()
    context = TurnContext(
        conversation_id=conversation_id,
        run_id=first.run_id,
        began=began_by(first, conversation_id),
        journal=journal,
        answers={},
        clock=clock or SystemClock(),
        idle=timedelta(minutes=15),
        history=_nothing,
        functions=catalogue.functions,
        handlers=catalogue.handlers,
        resources=resources,
        find=catalogue.find,
        flows=catalogue.flows,
    )
    turn = Turn(flow, context, over.set, only_replays=True)
    task = asyncio.create_task(perform(turn), name=f"flow {flow.name}")
    try:
        async with asyncio.timeout(PATIENCE):
            while turn.outcome is None:
                await over.wait()
                over.clear()
    except TimeoutError:
        return f"flow {flow.title} takes no step in {PATIENCE:g} s: does it wait for something outside `chat.call`?"
    finally:
        turn.cut_off()
        task.cancel()
        await asyncio.wait({task}, timeout=1)  # a flow may catch even its cancellation
    match turn.outcome:
        case FlowWaits():
            return ""
        case FlowMismatched(_, problem):
            return problem.removeprefix(MISMATCH)
        case FlowFailed(_, error):
            return f"flow {flow.title} fails: {error}"
        case _:  # it ended by itself, with every step of the journal
            return ""


async def all_at_work(store: OperatorStore, page: int = PAGE) -> AsyncIterator[RunAtWork]:
    """Yield all conversations with a current run, page by page."""
    last: RunAtWork | None = None
    while found := await store.runs_at_work(page, last):
        for one in found:
            yield one
        last = found[-1]


def waits_at(journal: Sequence[JournalEntry]) -> str:
    """Describe the step a run stands at, for its author: `ask "Your name?" (orders.py:12)`."""
    entry = next((entry for entry in reversed(journal) if entry.kind not in (CHANGED, TOLD)), None)
    if entry is None:
        return "its beginning"
    place = entry.data.get("place") if isinstance(entry.data, dict) else None
    return f"{described(entry)} ({place})" if place else described(entry)


async def _nothing() -> list[dict[str, Any]]:
    """Return an empty history."""
    return []
