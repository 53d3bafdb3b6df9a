"""Applies what the current flow reports: it waits, completes, fails, hands over or releases."""

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


def _current_run(draft: Draft, run_id: int) -> Run | None:
    """Return the run that reports, unless it was stopped meanwhile."""
    run = draft.state.run
    return run if run and run.id == run_id else None


def _is_over(run: Run) -> bool:
    """Return whether the conversation is over with this run.

    A closing flow, or a greeting that nobody answered, leaves nothing to pass on.
    """
    return run.purpose is Purpose.CLOSING or not run.contact


def flow_began(draft: Draft, fact: FlowBegan) -> None:
    """Record which flow took the run. The journal now has the opening's data, so drop it here."""
    if run := _current_run(draft, fact.run_id):
        opening = replace(run.opening, data=None, about={})
        draft.set_run(run, flow=fact.flow, version=fact.version, opening=opening)


def flow_mismatched(draft: Draft, fact: FlowMismatched) -> None:
    """Restart a run that no longer fits its code, or count it as failed.

    A restart drops the user's input, which answered something else.
    """
    run = _current_run(draft, fact.run_id)
    if run is None:
        return
    if fact.restart and not run.restarted:
        draft.report("flow_restarted", fact.problem)
        draft.restart_run(run)
        return
    draft.report("flow_mismatched", fact.problem)
    flow_failed(draft, FlowFailed(fact.run_id, fact.problem))


def flow_returned(draft: Draft, fact: FlowReturned) -> None:
    """Finish a completed run, and owe what follows."""
    if run := _current_run(draft, fact.run_id):
        draft.finish_run(Outcome.COMPLETE)
        obligations.owe_after_flow(draft, f"{run.purpose} flow complete", over=_is_over(run))


def flow_failed(draft: Draft, fact: FlowFailed) -> None:
    """Report a failed run, and owe what follows."""
    if run := _current_run(draft, fact.run_id):
        draft.report("flow_failed", fact.error)
        draft.finish_run(Outcome.FAILED)
        obligations.owe_after_flow(draft, f"{run.purpose} flow failed", over=_is_over(run))


def flow_released(draft: Draft, fact: FlowReleased) -> None:
    """Finish the run and owe a release, in either mode."""
    if _current_run(draft, fact.run_id):
        draft.finish_run(Outcome.RELEASED)
        draft.owe(Action.RELEASE, "the flow released control")


def flow_reminded(draft: Draft, fact: FlowReminded) -> None:
    """Owe a release now, and store the reminder.

    Whether its flow may begin shows when its time comes.
    """
    if _current_run(draft, fact.run_id):
        draft.finish_run(Outcome.RELEASED)
        at = draft.now + fact.after
        reason = f"the flow released control, and reminds with flow {fact.flow!r} at {at:%Y-%m-%d %H:%M}"
        draft.owe(Action.RELEASE, reason)
        starts.remind(draft, Reminder(fact.flow, at, fact.data, fact.about))


def flow_handed_over(draft: Draft, fact: FlowHandedOver) -> None:
    """Finish the run and owe a pass; after an end, a release: nobody is left to serve."""
    if not _current_run(draft, fact.run_id):
        return
    draft.finish_run(Outcome.HANDED_OVER)
    if fact.shortened:
        draft.report("ticket_field_shortened", ", ".join(fact.shortened))
    if fact.left_out:
        draft.report("ticket_field_left_out", ", ".join(fact.left_out))
    if draft.state.ended:
        draft.owe(Action.RELEASE, "the flow handed over an ended conversation")
    else:
        draft.owe(
            Action.PASS,
            "the flow handed over",
            fact.to or draft.policy.mode.pass_to,
            fact.metadata,
        )


def flow_waits(draft: Draft, fact: FlowWaits) -> None:
    """Record that the flow waits, for the user or for a time. Unread input stays queued."""
    run = _current_run(draft, fact.run_id)
    if run is None:
        return
    draft.set(inputs=_not_taken(draft, fact))
    is_closing = run.purpose is Purpose.CLOSING
    until = fact.until or draft.now + draft.policy.idle
    # Nobody can answer after an end, so the flow continues at once without an answer.
    more = fact.wants_input and (bool(draft.state.inputs) or draft.state.ended is not None)
    if is_closing and fact.wants_input and not more:
        # The webhook of the user's end may be lost.
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
    """Return the unread input; none if the flow wants only new input."""
    inputs = () if fact.fresh else draft.state.inputs
    return tuple(given for given in inputs if given.event_id not in fact.taken)


def flow_looks(draft: Draft, _: FlowTold) -> None:
    """Give a waiting flow a turn. If it still has to wait, the same time limit applies."""
    run = draft.state.run
    if run and run.status is RunStatus.WAITING:
        draft.set_run(run, status=RunStatus.READY, since=draft.now)
