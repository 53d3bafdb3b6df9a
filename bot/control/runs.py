"""What the flow at work tells: it waits, it is over, it hands over, it failed."""

from __future__ import annotations

from dataclasses import replace

from bot.control import obligations, starts
from bot.control.draft import Draft
from bot.control.facts import (
    FlowBegan,
    FlowFailed,
    FlowHandedOver,
    FlowMismatched,
    FlowReleased,
    FlowReminded,
    FlowReturned,
    FlowTold,
    FlowWaits,
)
from bot.control.policy import (
    SOON,
)
from bot.control.state import (
    Action,
    Input,
    Outcome,
    Purpose,
    Reminder,
    Run,
    RunStatus,
)


def _at_work(draft: Draft, run_id: int) -> Run | None:
    """The run that tells something, unless it was stopped meanwhile."""
    run = draft.state.run
    return run if run and run.id == run_id else None


def _is_over(run: Run) -> bool:
    """Is there nothing to pass on to anybody when it ends: is it a closing flow, or has nobody written?"""
    return run.purpose is Purpose.CLOSING or not run.contact


def flow_began(draft: Draft, fact: FlowBegan) -> None:
    """A flow has taken the run: its journal has now what it was given."""
    if run := _at_work(draft, fact.run_id):
        opening = replace(run.opening, data=None, about={})
        draft.set_run(run, flow=fact.flow, version=fact.version, opening=opening)


def flow_mismatched(draft: Draft, fact: FlowMismatched) -> None:
    """The code has changed under the run. What the user has said was the answer to something else: it is dropped."""
    run = _at_work(draft, fact.run_id)
    if run is None:
        return
    if fact.restart and not run.restarted:
        draft.report("flow_restarted", fact.problem)
        draft.restart_run(run)
        return
    draft.report("flow_mismatched", fact.problem)
    flow_failed(draft, FlowFailed(fact.run_id, fact.problem))


def flow_returned(draft: Draft, fact: FlowReturned) -> None:
    """The flow is complete."""
    if run := _at_work(draft, fact.run_id):
        draft.finish_run(Outcome.COMPLETE)
        obligations.owe_after_flow(draft, f"{run.purpose} flow complete", over=_is_over(run))


def flow_failed(draft: Draft, fact: FlowFailed) -> None:
    """The flow has failed, and people are told."""
    if run := _at_work(draft, fact.run_id):
        draft.report("flow_failed", fact.error)
        draft.finish_run(Outcome.FAILED)
        obligations.owe_after_flow(draft, f"{run.purpose} flow failed", over=_is_over(run))


def flow_released(draft: Draft, fact: FlowReleased) -> None:
    """The flow wants control released, whatever the mode."""
    if _at_work(draft, fact.run_id):
        draft.finish_run(Outcome.RELEASED)
        draft.owe(Action.RELEASE, "the flow released control")


def flow_reminded(draft: Draft, fact: FlowReminded) -> None:
    """Release control now. Whether the flow may begin that is named shows when its time has come."""
    if _at_work(draft, fact.run_id):
        draft.finish_run(Outcome.RELEASED)
        at = draft.now + fact.after
        reason = f"the flow released control, and reminds with flow {fact.flow!r} at {at:%Y-%m-%d %H:%M}"
        draft.owe(Action.RELEASE, reason)
        starts.remind(draft, Reminder(fact.flow, at, fact.data, fact.about))


def flow_handed_over(draft: Draft, fact: FlowHandedOver) -> None:
    """The flow passes control on; in a conversation that has ended there is nothing to pass on."""
    if not _at_work(draft, fact.run_id):
        return
    draft.finish_run(Outcome.HANDED_OVER)
    if fact.shortened:
        draft.report("ticket_field_shortened", ", ".join(fact.shortened))
    if fact.left_out:
        draft.report("ticket_field_left_out", ", ".join(fact.left_out))
    if draft.state.ended:
        draft.owe(Action.RELEASE, "the flow handed over an ended conversation")
    else:
        draft.owe(Action.PASS, "the flow handed over", fact.to or draft.policy.mode.pass_to, fact.metadata)


def flow_waits(draft: Draft, fact: FlowWaits) -> None:
    """The flow waits for the user, or for a time. What it has not taken of what the user said waits on."""
    run = _at_work(draft, fact.run_id)
    if run is None:
        return
    draft.set(inputs=_not_taken(draft, fact))
    is_closing = run.purpose is Purpose.CLOSING
    until = fact.until or draft.now + draft.policy.idle
    # Nobody can answer after an end: the flow goes on at once, without an answer.
    more = fact.wants_input and (bool(draft.state.inputs) or draft.state.ended is not None)
    if is_closing and fact.wants_input and not more:
        # The user may have ended the conversation, and nobody told the bot.
        soon = draft.now + SOON
        draft.set(read_at=min(soon, draft.state.read_at or soon))
    draft.set_run(
        run,
        status=RunStatus.READY if more else RunStatus.WAITING,
        since=draft.now,
        wants_input=fact.wants_input,
        until=until,
        deadline=run.deadline if is_closing else until + draft.policy.idle,
    )


def _not_taken(draft: Draft, fact: FlowWaits) -> tuple[Input, ...]:
    """What the user has said that the flow has not taken, unless it wants only what is said from now on."""
    inputs = () if fact.fresh else draft.state.inputs
    return tuple(given for given in inputs if given.event_id not in fact.taken)


def flow_looks(draft: Draft, _: FlowTold) -> None:
    """Let a flow that waits take a turn. If it still has to wait, it does so until the same time."""
    run = draft.state.run
    if run and run.status is RunStatus.WAITING:
        draft.set_run(run, status=RunStatus.READY, since=draft.now)
