"""Applies the platform's answers to actions, messages and reads."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import assert_never

from bot.control import duties, holders, outbox, runs, users
from bot.control.commands import Forget
from bot.control.draft import Draft
from bot.control.facts import Answer, Answered, ControlMoved, ConversationRead, TakenUp, UserEnded
from bot.control.policy import (
    CLOCKS_DIFFER,
    FRESH_CAP,
    RETRY_CAP,
    RETRY_FIRST,
    backoff,
)
from bot.control.state import (
    Holder,
    OpeningKind,
    Pending,
    What,
    Who,
)


def answered(draft: Draft, fact: Answered) -> None:
    """Apply the answer, or the lack of one, to an action, a read or a message."""
    if fact.answer is Answer.GONE:
        if draft.state.is_blank:
            draft.records.append(Forget())
        else:
            draft.report("conversation_gone", fact.detail)
        gone(draft)
        return
    message, pending = outbox.find(draft.state, fact.effect_id), draft.state.pending
    if message and (failed := outbox.message_answered(draft, message, fact)):
        runs.flow_failed(draft, failed)
    if pending and pending.effect_id == fact.effect_id:
        draft.set(pending=None)
        _pending_answered(draft, pending, fact)


def _pending_answered(draft: Draft, pending: Pending, fact: Answered) -> None:
    """Reschedule what a failed or accepted pending effect was for."""
    match pending.what:
        case What.RELEASE | What.PASS | What.READ_FOR_DUTY:
            if draft.state.duty:
                duties.answered(draft, draft.state.duty, pending.what, fact)
        case What.READ_TO_WATCH:
            asked = min(fact.retry_after or timedelta(0), RETRY_CAP)
            draft.set(read_at=draft.now + max(backoff(draft.state.watches, draft.state.id), RETRY_FIRST, asked))
        case What.READ_FOR_END:
            pass  # the next check is scheduled already
        case unknown:
            assert_never(unknown)


def taken_up(draft: Draft, _: TakenUp) -> None:
    """Treat what a dead worker left pending as unclear: an action is never just repeated."""
    if unclear := outbox.taken_up(draft):
        answered(draft, unclear)


def conversation_read(draft: Draft, fact: ConversationRead) -> None:
    """Apply a successful read: first the user's last actions, then who is active."""
    pending = draft.state.pending
    if pending is None or pending.effect_id != fact.effect_id:
        return  # something has made this read obsolete
    draft.set(pending=None)
    draft.read_began = max(draft.now - FRESH_CAP, min(fact.began or draft.now, draft.now))
    is_newest = draft.known_until == pending.known_until
    if pending.what is What.READ_TO_WATCH and draft.state.read_at is None:
        draft.set(in_doubt=False)
    # Messages first: they may record or void an end, and they date the read.
    at = _take_in_messages(draft, pending, fact)
    if not draft.learn(fact.active, at, holders.A_READ, certain=True, is_newest=is_newest):
        if pending.what is What.READ_FOR_DUTY:
            draft.set_duty(next_attempt=draft.now + backoff(1, draft.state.id))
        else:
            draft.doubt()  # a newer fact came meanwhile: read once more
        return
    # The holder is known now. Apply what waited for it, then what the read was for.
    _learn_why(draft, at)
    _sort_out_inputs(draft, pending, fact)
    if pending.what is What.READ_FOR_DUTY:
        duties.checked(draft)
    elif pending.what is What.READ_FOR_END:
        _end_checked(draft)


def _take_in_messages(draft: Draft, pending: Pending, fact: ConversationRead) -> datetime:
    """Apply the user's last actions. Return the time since which the read holds."""
    at = max(fact.at, pending.known_until or fact.at)
    if fact.ended is None:
        users.user_spoke_unheard(draft, pending, fact, at)
        return at
    end = fact.ended if fact.ended.at <= at + CLOCKS_DIFFER else replace(fact.ended, at=at)
    _end_found(draft, pending, fact, end)
    if draft.state.ended and draft.state.ended.message_id == end.message_id:
        _forget_said_before_end(draft, pending)
    return max(at, end.at)


def _sort_out_inputs(draft: Draft, pending: Pending, fact: ConversationRead) -> None:
    """Keep only input that may be meant for the bot, and reopen an end that it follows."""
    if draft.state.holder.who is Who.NOBODY and not draft.state.in_doubt:
        draft.set(inputs=())
    _forget_said_to_others(draft)
    if pending.messages and draft.state.ended and draft.state.inputs and not fact.ended:
        users.reopens(draft, draft.state.inputs[0], draft.state.ended)


def _forget_said_before_end(draft: Draft, pending: Pending) -> None:
    """Drop input that stands before the end that the read shows.

    Taps are never listed, so their times decide.
    """
    inputs = draft.state.inputs
    heard = max(
        (place for place, given in enumerate(inputs) if given.event_id == pending.heard),
        default=-1,
    )
    kept = (
        given
        for place, given in enumerate(inputs)
        if (place > heard or given.kind is not OpeningKind.MESSAGE)
        and not (pending.spoke_at and given.at <= pending.spoke_at)
    )
    draft.set(inputs=tuple(kept))


def _forget_said_to_others(draft: Draft) -> None:
    """Drop input that was addressed to another name, now that the bot's own name is known."""
    holder = draft.state.holder
    me = holder.integration if holder.who is Who.BOT else None
    if me and me.name and not me.is_only_named:
        kept = tuple(given for given in draft.state.inputs if given.said_to in (None, me.name))
        if kept != draft.state.inputs:
            draft.set(inputs=kept)


def _end_found(draft: Draft, pending: Pending, fact: ConversationRead, end: UserEnded) -> None:
    """Apply an end that is listed after everything the user said, unless newer input voids it.

    Known input may look newer than that end for three reasons: a fast clock dated it,
    though it is listed before the end; it came after the read began, and the end is
    void; or it is a tap, which is never listed.
    """
    known, spoke_at = draft.state.ended, draft.state.spoke_at
    if known and (known.message_id == end.message_id or not known.proof or end.at <= known.at):
        return
    listed = fact.spoke_at + CLOCKS_DIFFER if fact.spoke_at else end.at
    newest = max(listed, end.at + CLOCKS_DIFFER if pending.spoke_at == spoke_at else end.at)
    if spoke_at is None or spoke_at <= newest:
        users.take_in_end(draft, end)


def _learn_why(draft: Draft, at: datetime) -> None:
    """Apply the reason of an undated control event, now that a read tells who is active."""
    handed = draft.state.handed
    if handed and not draft.state.in_doubt:
        draft.set(handed=None)
        holders.explain(draft, ControlMoved(at, draft.state.holder.integration, handed.reason))


def _end_checked(draft: Draft) -> None:
    """Decide on an ended conversation that is still held after the grace, as a read shows."""
    state = draft.state
    if state.ended is None or state.ended.proof:
        return  # reopened meanwhile, or active again after the proof
    if state.holder.who is Who.BOT:
        draft.set_ended(held_after_grace=True)
    elif state.holder.who is Who.OTHER:
        if draft.policy.app_key:
            duties.owe_with_app_key(
                draft,
                f"the user ended the conversation and {state.holder} is still active",
            )
        elif not state.no_app_key_reported:
            draft.report(
                "no_app_key",
                f"only an app key could release what {state.holder} holds after the end",
            )
            draft.set(no_app_key_reported=True)


def gone(draft: Draft) -> None:
    """Close everything: the conversation is gone from the platform."""
    draft.stop_run()
    draft.drop_messages()
    draft.close_duty("void: the conversation is gone")
    if draft.state.ended and not draft.state.ended.proof:
        draft.prove(draft.state.ended, "the conversation is gone")
    draft.set(gone=True, holder=Holder(how="its removal"), inputs=(), pending=None, in_doubt=False)
    draft.set(start=None, reminders=())
