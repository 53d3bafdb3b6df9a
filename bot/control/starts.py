"""Flows that begin although the user has not written: as another system asks for, or as a flow reminds.

Control that nobody has is taken by a pass to the bot itself, a duty like the others: a read comes just before it, and
another one, or an event, proves it. Whatever shows meanwhile that somebody is active, or that the user wants something
else, drops the flow, which is told. Control is never taken from anybody.
"""

from __future__ import annotations

from bot.control.draft import Draft
from bot.control.facts import FlowOrdered
from bot.control.policy import START_PATIENCE, TAKE_ATTEMPTS, TAKEN_LATE
from bot.control.state import Action, Duty, Opening, OpeningKind, Purpose, Reminder, Stage, Start, Who


def remind(draft: Draft, reminder: Reminder) -> None:
    """Let a flow begin later. It replaces an older reminder of the same flow."""
    others = (known for known in draft.state.reminders if known.flow != reminder.flow)
    draft.set(reminders=tuple(sorted((*others, reminder), key=lambda known: known.at)))


def flow_ordered(draft: Draft, fact: FlowOrdered) -> None:
    """Another system wants a flow to begin."""
    plan(draft, Opening(OpeningKind.OUTSIDE, flow=fact.flow, data=fact.data))


def plan(draft: Draft, opening: Opening) -> None:
    """Let a flow begin now, unless another one is about to."""
    if draft.state.start:
        _tell(draft, opening, "another flow is about to begin")
        return
    draft.set(start=Start(opening, draft.now + START_PATIENCE, draft.state.holder))


def reconsider(draft: Draft) -> None:
    """Take up the reminders that are due. Drop the flow that is to begin, where it may not; begin it, where it can."""
    _take_up_reminders(draft)
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
    """Ask for control, where a flow is to begin and nothing else is owed."""
    start = draft.state.start
    if start and not (start.asked or draft.state.duty):
        draft.owe(Action.TAKE, f"flow {start.opening.flow!r} is to begin ({start.opening.kind})", draft.policy.me)
        draft.set(start=Start(start.opening, start.until, start.known, asked=True))


def begin(draft: Draft) -> None:
    """Begin the flow: the bot has control."""
    start, holder = draft.state.start, draft.state.holder
    if start:
        draft.close_duty(f"{holder.integration} is active, shown by {holder.how}")
        draft.set(start=None)
        draft.start_run(Purpose.OPENING, start.opening, holder.since or draft.now)


def nobody_is_active(draft: Draft, duty: Duty) -> None:
    """A read has just shown that nobody is active: take control, unless that has come to nothing too often."""
    if duty.attempts >= TAKE_ATTEMPTS:
        drop(draft, "the platform does not give the bot control")
    else:
        draft.set_duty(stage=Stage.ACT, next_attempt=draft.now, last_answer="read: nobody is active")


def drop(draft: Draft, why: str) -> None:
    """Drop the flow that is to begin, if there is one."""
    if draft.state.start:
        _drop(draft, draft.state.start, why)


def _take_up_reminders(draft: Draft) -> None:
    due = [reminder for reminder in draft.state.reminders if reminder.at <= draft.now]
    if not due:
        return
    draft.set(reminders=tuple(known for known in draft.state.reminders if known not in due))
    for reminder in due:
        opening = Opening(OpeningKind.REMINDER, flow=reminder.flow, data=reminder.data, about=reminder.about)
        plan(draft, opening)


def _obstacle(draft: Draft, start: Start) -> str:
    """Why the flow may not begin; empty if it may, or if it is still to be seen."""
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
    duty = draft.state.duty
    draft.set(start=None)
    _tell(draft, start.opening, why)
    if duty is None or duty.action is not Action.TAKE:
        return
    draft.close_duty(f"void: {why}")
    if duty.attempts:  # it may have worked all the same, or still may
        late = draft.now + TAKEN_LATE
        draft.set(read_at=min(late, draft.state.read_at or late))


def _tell(draft: Draft, opening: Opening, why: str) -> None:
    if opening.kind is OpeningKind.REMINDER:
        draft.report("reminder_dropped", f"{opening.flow}: {why}")
    else:
        draft.report("flow_not_begun", f"{opening.flow}: {why}")
