"""What the bot must do now, given what it knows: brings a state, whatever fact led to it, to rest.

After `settle`, a conversation at stake has a time at which it is looked at again, and that time lies in the future
unless a turn of a flow is to be taken now.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import assert_never

from bot.control import duties, outbox, starts
from bot.control.draft import Draft
from bot.control.policy import RETRY_FIRST, SOON, WATCH_CAP, WATCH_FIRST, backoff
from bot.control.state import Action, Conversation, Ended, Opening, OpeningKind, Purpose, RunStatus, What, Who


def settle(draft: Draft) -> None:
    """Make everything that is owed owed, and command what is due."""
    if draft.state.gone:
        return
    _let_time_pass_in_run(draft)
    _reconsider_the_end(draft)
    _reconsider_by_hand(draft)
    starts.reconsider(draft)
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
    outbox.drop_what_must_not_be_said(draft)
    starts.take_control(draft)
    duties.advance(draft)
    _watch(draft)


def _let_time_pass_in_run(draft: Draft) -> None:
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
    """What is owed when a flow is over: a release where the conversation is, else what the mode says.

    It is over after an end, after a closing flow, and where a flow has greeted and nobody has written: passed on, that
    would be a ticket about nothing.
    """
    if draft.state.holder.who is not Who.BOT:
        return
    if over or draft.state.ended:
        draft.owe(Action.RELEASE, reason)
        return
    owed = draft.policy.mode.when_over()
    draft.owe(owed.action, reason, owed.target)


def _while_bot_holds(draft: Draft) -> None:
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
    if draft.state.in_doubt:
        return  # nothing is said until the read, and nothing is dropped that it may show to be the bot's
    draft.stop_run()
    draft.set(idle_at=None, inputs=())
    duty = draft.state.duty
    wanted = duty is not None and (duty.against is not None or duty.action is Action.TAKE)  # a read is to tell
    if not (draft.state.ended or wanted):
        draft.close_duty(_shown(draft, f"{draft.state.holder} is active"))


def _while_nobody_holds(draft: Draft) -> None:
    draft.set(idle_at=None)
    if draft.state.in_doubt:
        return  # as above
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
        draft.prove(_shown(draft, "nobody is active"))


def _while_unknown(draft: Draft) -> None:
    draft.stop_run()
    draft.set(idle_at=None)


def _shown(draft: Draft, what: str) -> str:
    """How the present holder became known, in words."""
    return f"{what}, shown by {draft.state.holder.how}"


def _reconsider_the_end(draft: Draft) -> None:
    """Somebody is active again in a conversation that was proven closed: it is open, and the proof is void.

    The user may have written again, as the next fact then tells: nothing is done about it before the grace is over.
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
    state, ended = draft.state, draft.state.ended
    if ended is None or ended.proof:
        return
    if state.duty and state.duty.action is Action.PASS:
        draft.close_duty("void: the user ended the conversation")
    if draft.state.duty or state.run:
        return
    if state.holder.who is Who.BOT and _close(draft, ended):
        return
    if draft.now >= ended.check_at:
        if state.pending is None:
            draft.read(What.READ_FOR_END)
        checks = ended.checks + 1
        draft.set_ended(checks=checks, check_at=draft.now + backoff(checks + 1, state.id))


def _close(draft: Draft, ended: Ended) -> bool:
    """The bot holds what has ended: begin the closing flow, once, or release. False: the platform is to act first."""
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
    """Read, at a slow pace, a conversation that others hold; soon, where something hangs on who is active.

    At once where something asked for it: that read is put off while another effect is on its way, and never dropped.
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
    """The state of a conversation of which webhooks may have been lost: it is to be read at a time.

    What others hold and was to be read earlier is put off: after a pause, all of it would be due at once.
    """
    sooner = state.watch_at if state.holder.who is Who.BOT else None
    return replace(state, watch_at=min(at, sooner or at), watches=0)


def _watch_delay(draft: Draft) -> timedelta | None:
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
