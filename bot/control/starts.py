"""Begins flows without user input: requested by another system, or by a reminder.

A pass to the bot itself takes control that nobody has. It is a duty like the others: a
read comes just before it, and a read or an event proves it. If someone is active, or
the user wants something else, the flow is dropped and that is reported. Control is
never taken from anyone.
"""

from __future__ import annotations

from bot.control.draft import Draft
from bot.control.facts import FlowOrdered
from bot.control.policy import START_PATIENCE, TAKE_ATTEMPTS, TAKEN_LATE
from bot.control.state import (
    Action,
    Duty,
    Opening,
    OpeningKind,
    Purpose,
    Reminder,
    Stage,
    Start,
    Who,
)


def remind(draft: Draft, reminder: Reminder) -> None:
    """Store a reminder. It replaces an older one of the same flow."""
    others = (known for known in draft.state.reminders if known.flow != reminder.flow)
    draft.set(reminders=tuple(sorted((*others, reminder), key=lambda known: known.at)))


def flow_ordered(draft: Draft, fact: FlowOrdered) -> None:
    """Begin a flow for another system."""
    plan(draft, Opening(OpeningKind.OUTSIDE, flow=fact.flow, data=fact.data))


def plan(draft: Draft, opening: Opening) -> None:
    """Plan a flow to begin now, unless another one is planned already."""
    if draft.state.start:
        _report_dropped(draft, opening, "another flow is about to begin")
        return
    draft.set(start=Start(opening, draft.now + START_PATIENCE, draft.state.holder))


def reconsider(draft: Draft) -> None:
    """Plan flows of due reminders, then drop or begin the planned flow, as the holder allows."""
    _plan_reminders(draft)
    start, duty = draft.state.start, draft.state.duty
    if start is None:
        if duty and duty.action is Action.TAKE:
            draft.close_duty("void: no flow is to begin any more")
        return
    if obstacle := _obstacle(draft, start):
        _drop(draft, start, obstacle)
    elif draft.state.holder.who is Who.BOT and draft.state.is_certain and duty and start.asked and duty.attempts:
        begin(draft)


def take_control(draft: Draft) -> None:
    """Owe taking control for a planned flow, once nothing else is owed."""
    start = draft.state.start
    if start and not (start.asked or draft.state.duty):
        draft.owe(
            Action.TAKE,
            f"flow {start.opening.flow!r} is to begin ({start.opening.kind})",
            draft.policy.me,
        )
        draft.set(start=Start(start.opening, start.until, start.known, asked=True))


def begin(draft: Draft) -> None:
    """Begin the planned flow: the bot has control."""
    start, holder = draft.state.start, draft.state.holder
    if start:
        draft.close_duty(f"{holder.integration} is active, shown by {holder.how}")
        draft.set(start=None)
        draft.start_run(Purpose.OPENING, start.opening, holder.since or draft.now)


def nobody_is_active(draft: Draft, duty: Duty) -> None:
    """Take control after a read that shows nobody active; give up after several attempts."""
    if duty.attempts >= TAKE_ATTEMPTS:
        drop(draft, "the platform does not give the bot control")
    else:
        draft.set_duty(
            stage=Stage.ACT,
            next_attempt=draft.now,
            last_answer="read: nobody is active",
        )


def drop(draft: Draft, why: str) -> None:
    """Drop the planned flow, if there is one."""
    if draft.state.start:
        _drop(draft, draft.state.start, why)


def _plan_reminders(draft: Draft) -> None:
    """Plan the flows whose reminders are due."""
    due = [reminder for reminder in draft.state.reminders if reminder.at <= draft.now]
    if not due:
        return
    draft.set(reminders=tuple(known for known in draft.state.reminders if known not in due))
    for reminder in due:
        opening = Opening(
            OpeningKind.REMINDER,
            flow=reminder.flow,
            data=reminder.data,
            about=reminder.about,
        )
        plan(draft, opening)


def _obstacle(draft: Draft, start: Start) -> str:
    """Return why the planned flow may not begin; empty if nothing is known against it."""
    state, duty = draft.state, draft.state.duty
    is_taking = duty is not None and duty.action is Action.TAKE
    obstacles = {
        "the user has ended the conversation": state.ended is not None,
        f"{state.holder} is active": (
            state.holder.who is Who.OTHER and not state.in_doubt and state.holder != start.known
        ),
        "a flow is at work": state.run is not None,
        "the user has written": bool(state.inputs),
        "control is given up": start.asked and not is_taking,
        "it was not possible in time": draft.now >= start.until,
    }
    return next((words for words, is_so in obstacles.items() if is_so), "")


def _drop(draft: Draft, start: Start, why: str) -> None:
    """Drop a planned flow and its duty.

    An attempted pass may still take effect, so a read follows.
    """
    duty = draft.state.duty
    draft.set(start=None)
    _report_dropped(draft, start.opening, why)
    if duty is None or duty.action is not Action.TAKE:
        return
    draft.close_duty(f"void: {why}")
    if duty.attempts:  # the pass may take effect late
        late = draft.now + TAKEN_LATE
        draft.set(read_at=min(late, draft.state.read_at or late))


def _report_dropped(draft: Draft, opening: Opening, why: str) -> None:
    """Report that a flow did not begin."""
    if opening.kind is OpeningKind.REMINDER:
        draft.report("reminder_dropped", f"{opening.flow}: {why}")
    else:
        draft.report("flow_not_begun", f"{opening.flow}: {why}")
