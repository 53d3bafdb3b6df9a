"""Derives what the bot must do from what it knows, whichever fact came last.

After `settle`, every conversation at stake has a time for its next check. That time is
in the future, unless a turn of a flow is due now.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import assert_never

from bot.control import duties, outbox, starts
from bot.control.draft import Draft
from bot.control.policy import RETRY_FIRST, SOON, WATCH_CAP, WATCH_FIRST, backoff
from bot.control.state import (
    Action,
    Conversation,
    Ended,
    Opening,
    OpeningKind,
    Purpose,
    RunStatus,
    What,
    Who,
)


def settle(draft: Draft) -> None:
    """Record every obligation that now applies, and issue the effects that are due."""
    if draft.state.gone:
        return
    # First, drop what time or a new holder has made void.
    _expire_run(draft)
    _reconsider_the_end(draft)
    _reconsider_by_hand(draft)
    starts.reconsider(draft)
    # Then the holder decides. The end comes after it: it overrides a pass.
    match draft.state.holder.who:
        case Who.BOT:
            if not draft.state.ended:
                _while_bot_holds(draft)
        case Who.OTHER:
            _while_another_holds(draft)
        case Who.NOBODY:
            _while_nobody_holds(draft)
        case Who.UNKNOWN:
            _while_unknown(draft)
        case unknown:
            assert_never(unknown)
    _after_the_end(draft)
    # Last, what goes out: messages before the duty, which waits behind them.
    outbox.drop_what_must_not_be_said(draft)
    starts.take_control(draft)
    duties.advance(draft)
    _watch(draft)


def _expire_run(draft: Draft) -> None:
    """Stop a run past its deadline, or make a run ready whose wait is over."""
    run = draft.state.run
    if run is None:
        return
    if draft.now >= run.deadline:
        draft.report("flow_timed_out", f"run {run.id}")
        over = run.purpose is Purpose.CLOSING or not run.contact
        draft.time_out_run()
        owe_after_flow(draft, f"{run.purpose} flow timed out", over=over)
    elif run.status is RunStatus.WAITING and run.until and draft.now >= run.until:
        draft.set_run(run, status=RunStatus.READY, since=draft.now)


def owe_after_flow(draft: Draft, reason: str, *, over: bool) -> None:
    """Owe what follows a finished flow: a release, or what the mode requires.

    It is a release if the conversation is over: after an end, after a closing flow, and
    after a greeting that nobody answered. A pass would make an empty ticket then.
    """
    if draft.state.holder.who is not Who.BOT:
        return
    if over or draft.state.ended:
        draft.owe(Action.RELEASE, reason)
        return
    owed = draft.policy.mode.when_over()
    draft.owe(owed.action, reason, owed.target)


def _while_bot_holds(draft: Draft) -> None:
    """Begin a flow for unread input, or release when idle. A run or a duty comes first."""
    state = draft.state
    if state.duty or state.run:
        draft.set(idle_at=None)
        return
    if state.inputs and draft.policy.opens:
        first, *rest = state.inputs
        draft.set(inputs=tuple(rest))
        draft.start_run(Purpose.OPENING, Opening(first.kind, first.event_id), first.at)
    elif state.inputs:
        draft.set(inputs=())
        owe_after_flow(draft, "no opening flow", over=False)
    elif state.idle_at is None:
        draft.set(idle_at=draft.now + draft.policy.idle)
    elif draft.now >= state.idle_at:
        draft.owe(Action.RELEASE, "idle")


def _while_another_holds(draft: Draft) -> None:
    """Stop the run and close the duty, because another integration is active."""
    if draft.state.in_doubt:
        return  # nothing is said before the read, and nothing dropped: it may be the bot's
    draft.stop_run()
    draft.set(idle_at=None, inputs=())
    duty = draft.state.duty
    # Kept until a read: a take-over by hand, and control for a planned flow.
    wanted = duty is not None and (duty.against is not None or duty.action is Action.TAKE)
    if not (draft.state.ended or wanted):
        draft.close_duty(_shown(draft, f"{draft.state.holder} is active"))


def _while_nobody_holds(draft: Draft) -> None:
    """Stop the run; if it is certain that nobody is active, close duties and prove the end.

    A control event or a read is certain, a message is not.
    """
    draft.set(idle_at=None)
    if draft.state.in_doubt:
        return  # as in `_while_another_holds`
    draft.stop_run()
    holder, certain = draft.state.holder, draft.state.is_certain
    if not certain or holder.since is None:
        return
    if draft.state.duty and draft.state.duty.is_owed:
        draft.close_duty(_shown(draft, "nobody is active"), read_on=True)
    draft.set(inputs=tuple(kept for kept in draft.state.inputs if kept.at > holder.since))
    ended = draft.state.ended
    if ended and not ended.proof and holder.since >= ended.at:
        draft.set_ended(handed_back=False, held_after_grace=False)
        draft.prove(ended, _shown(draft, "nobody is active"))


def _while_unknown(draft: Draft) -> None:
    """Stop the run: nothing is said by a bot that may not be active."""
    draft.stop_run()
    draft.set(idle_at=None)


def _shown(draft: Draft, what: str) -> str:
    """Return `what` with the source that shows the present holder."""
    return f"{what}, shown by {draft.state.holder.how}"


def _reconsider_the_end(draft: Draft) -> None:
    """Void the proof of an end, because someone is active again.

    The user may have written again, as the next fact may tell. So nothing follows
    before the grace is over.
    """
    ended = draft.state.ended
    if ended and ended.proof and draft.state.holder.who in (Who.BOT, Who.OTHER):
        draft.set_ended(proof=None, was_proven=True, check_at=draft.now + draft.policy.grace)


def _reconsider_by_hand(draft: Draft) -> None:
    """Drop a manual take-over if a different integration is active now."""
    duty, active = draft.state.duty, draft.state.holder.integration
    if duty and duty.against and active and not active.answers_to(duty.against):
        draft.close_duty(_shown(draft, f"void: {draft.state.holder} is active"))


def _after_the_end(draft: Draft) -> None:
    """Lead an ended conversation to its proof: close and release what the bot holds, else read.

    A pass is void after an end: nobody is left to serve.
    """
    state, ended = draft.state, draft.state.ended
    if ended is None or ended.proof:
        return
    if state.duty and state.duty.action is Action.PASS:
        draft.close_duty("void: the user ended the conversation")
    if draft.state.duty or state.run:
        return
    if state.holder.who is Who.BOT and _close_held(draft, ended):
        return
    if draft.now >= ended.check_at:
        if state.pending is None:
            draft.read(What.READ_FOR_END)
        checks = ended.checks + 1
        draft.set_ended(checks=checks, check_at=draft.now + backoff(checks + 1, state.id))


def _close_held(draft: Draft, ended: Ended) -> bool:
    """Begin the closing flow of an ended conversation that the bot holds, once, or owe the release.

    Returns:
        False if the platform is to act first.
    """
    state = draft.state
    draft.set(idle_at=None, inputs=state.inputs if state.in_doubt else ())
    to_be_closed = ended.handed_back or (draft.policy.mode.closes_after_end and not ended.was_proven)
    if to_be_closed and draft.policy.closes and state.closing_run is None:
        draft.start_run(Purpose.CLOSING, Opening(OpeningKind.ENDED), ended.at)
        return True
    if to_be_closed or ended.held_after_grace:
        draft.owe(Action.RELEASE, "the user ended the conversation")
        return True
    return False


def _watch(draft: Draft) -> None:
    """Issue the reads that are due: requested ones, and slow ones of what others hold.

    While another effect is pending, a read is postponed but never dropped.
    """
    state = draft.state
    if state.watch_at is None:
        delay = _watch_delay(draft)
        draft.set(watch_at=draft.now + delay if delay else None)
    due = [time for time in (draft.state.watch_at, state.read_at) if time and time <= draft.now]
    if not due:
        return
    if state.pending:
        again = draft.now + RETRY_FIRST
        draft.set(read_at=again if state.read_at in due else state.read_at)
        draft.set(watch_at=again if draft.state.watch_at in due else draft.state.watch_at)
        return
    draft.set(watches=state.watches + 1, read_at=None)
    draft.read(What.READ_TO_WATCH)
    delay = _watch_delay(draft)
    draft.set(watch_at=draft.now + delay if delay else None)


def to_be_read(state: Conversation, at: datetime) -> Conversation:
    """Schedule a read of a conversation whose webhooks may have been lost.

    An earlier read of what others hold is postponed: after a pause, all of them would
    be due at once.
    """
    sooner = state.watch_at if state.holder.who is Who.BOT else None
    return replace(state, watch_at=min(at, sooner or at), watches=0)


def _watch_delay(draft: Draft) -> timedelta | None:
    """Return the delay before the next unrequested read; None: no such read."""
    state = draft.state
    match state.holder.who:
        case Who.BOT:
            return None
        case Who.OTHER:
            return None if state.ended else backoff(state.watches + 1, state.id, WATCH_FIRST, WATCH_CAP)
        case Who.NOBODY | Who.UNKNOWN:
            owed = state.duty is not None and state.duty.is_owed
            waiting = bool(state.inputs) or owed or not state.holder.certain
            checked_anyway = state.ended is not None and not state.closed
            return max(backoff(state.watches, state.id), SOON) if waiting and not checked_anyway else None
        case unknown:
            assert_never(unknown)
