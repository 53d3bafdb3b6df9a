"""Applies what users and agents do: input, ends, and conversations that open again."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from bot.control import starts
from bot.control.draft import Draft
from bot.control.facts import AgentWrote, ConversationRead, UserEnded, UserSpoke, WidgetOpened
from bot.control.policy import (
    CLOCKS_DIFFER,
    HEARD_LIMIT,
    INPUT_LIMIT,
    JUST_NOW,
    PROOF_WAIT,
    SOON,
)
from bot.control.state import (
    Action,
    Conversation,
    Ended,
    Holder,
    Input,
    Pending,
    Purpose,
    Run,
    RunStatus,
    Who,
)


def user_spoke(draft: Draft, fact: UserSpoke) -> None:
    """Apply user input once: it may be for the bot or for another, before an end or after it."""
    spoken = fact.input
    if spoken.said_id:
        if spoken.said_id in draft.state.heard:
            return  # the same message under another event id
        draft.set(heard=(*draft.state.heard, spoken.said_id)[-HEARD_LIMIT:])
    _record_last_input(draft, spoken)
    run = draft.state.run
    if run and run.purpose is Purpose.CLOSING:
        if spoken.at < run.began:
            return  # said before the closing flow: no answer to it
    elif draft.state.ended and not _reopen(draft, spoken, draft.state.ended, late=fact.late):
        return
    if _said_to_others(draft, fact):
        return
    if fact.said_to and fact.said_to.is_only_named:
        spoken = replace(spoken, said_to=fact.said_to.name)
    _queue_input(draft, spoken)


def _record_last_input(draft: Draft, spoken: Input) -> None:
    """Record when the user last spoke, if input comes late or a slow clock dated it."""
    forget_handback(draft, spoken.at)
    since = draft.state.holder.since
    # A later time may be the bot's own clock, and would hide a later end.
    if since and spoken.at <= since:
        if draft.state.holder.who is Who.NOBODY:
            draft.doubt()  # if a slow clock dated it, it came later and made the bot active
        draft.set(spoke_at=max(spoken.at, draft.state.spoke_at or spoken.at))


def _queue_input(draft: Draft, spoken: Input) -> None:
    """Queue input for the bot; a flow that waits for it takes a turn."""
    if len(draft.state.inputs) < INPUT_LIMIT:
        draft.set(inputs=(*draft.state.inputs, spoken))
    run, duty = draft.state.run, draft.state.duty
    if run and run.status is RunStatus.WAITING and run.wants_input:
        # Only input that begins a turn extends the deadline: a turn in progress may be hung.
        is_opening = run.purpose is Purpose.OPENING
        deadline = max(run.deadline, draft.now + draft.policy.idle) if is_opening else run.deadline
        draft.set_run(run, contact=True, status=RunStatus.READY, since=draft.now, deadline=deadline)
    elif run:
        draft.set_run(run, contact=True)
    if duty and duty.accepted_at:  # a read must tell if the release has taken effect
        draft.set_duty(next_attempt=min(duty.next_attempt, draft.now + PROOF_WAIT))


def forget_handback(draft: Draft, spoke_at: datetime) -> None:
    """Allow another flow for a handback, because the user has spoken since."""
    if draft.state.handback_at and spoke_at > draft.state.handback_at:
        draft.set(handback_at=None)


def _said_to_others(draft: Draft, fact: UserSpoke) -> bool:
    """Return whether input was for another, or for nobody before the bot got control.

    The active integration that the event shows outweighs its time, because a user's
    clock may be slow.
    """
    state = draft.state
    if state.holder.who is Who.OTHER and not state.in_doubt:
        return True
    to = fact.said_to and fact.said_to.completed_by(state.holder.integration)
    if to is None:
        return _predates_control(state, fact.input)
    known = (holder.integration for holder in (state.holder, state.former) if holder and holder.who is Who.BOT)
    mine = next(known, None)
    if to.is_only_named and not (mine and mine.name):
        return False  # the name may be the bot's own
    return draft.who(to) is Who.OTHER


def _predates_control(state: Conversation, spoken: Input) -> bool:
    """Return whether input predates the bot's control, by its time alone."""
    if state.holder.who is not Who.BOT or (state.run and state.run.began <= spoken.at):
        return False
    if state.former and state.former.who is Who.NOBODY:
        return False  # the user's message made the bot active
    return state.elsewhere_at is not None and spoken.at < state.elsewhere_at


def widget_opened(draft: Draft, fact: WidgetOpened) -> None:
    """Queue the opened widget as input for a greeting flow.

    Without one it is no contact. In a conversation that has already begun it comes too
    late.
    """
    state = draft.state
    untouched = not (state.run or state.inputs or state.duty or state.ended or state.spoke_at)
    if draft.policy.greets and untouched and state.holder.who is Who.BOT:
        draft.set(inputs=(fact.input,))


def _reopen(draft: Draft, spoken: Input, ended: Ended, *, late: bool) -> bool:
    """Reopen an ended conversation, because the user wrote after the end.

    Returns:
        True if it is open again, or if only a read can tell; the input is kept until
        then.
    """
    near = abs(spoken.at - ended.at) <= CLOCKS_DIFFER
    if late or near:
        draft.doubt()  # the order of the messages tells which came first
    if late or (near and spoken.at <= ended.at):
        return True
    return reopens(draft, spoken, ended)


def reopens(draft: Draft, spoken: Input, ended: Ended) -> bool:
    """Reopen an ended conversation if times show that the user wrote afterwards.

    Returns:
        True if it is open again, or if only a read can tell.
    """
    holder = draft.state.holder
    if spoken.at <= ended.at:
        return False
    if holder.who in (Who.BOT, Who.OTHER) and holder.since and holder.since >= spoken.at:
        _make_live(draft)
        return True
    return not draft.state.is_certain


def _make_live(draft: Draft) -> None:
    """Void the end and its duty."""
    draft.close_duty("void: the user wrote again after the end")
    draft.set(ended=None, closing_run=None)


def user_spoke_unheard(
    draft: Draft,
    pending: Pending,
    fact: ConversationRead,
    at: datetime,
) -> None:
    """Learn from a read when the user last spoke; reopen a conversation that ended before.

    Not after the closing flow has begun, since the input may answer it, unless another
    is active since.
    """
    ended, spoke_at = draft.state.ended, _believed(fact, at)
    if spoke_at:
        draft.set(spoke_at=max(spoke_at, draft.state.spoke_at or spoke_at))
        forget_handback(draft, spoke_at)
    is_answer = draft.state.closing_run is not None and draft.who(fact.active) is not Who.OTHER
    if ended is None or is_answer:
        return
    # A void last end voids all earlier ends too, so any end known when the read began.
    listed = ended.message_id is not None and ended.message_id in (fact.void_end, pending.end)
    if (spoke_at and spoke_at > ended.at) or (fact.void_end and listed):
        _make_live(draft)


def _believed(fact: ConversationRead, at: datetime) -> datetime | None:
    """Return the time of the user's newest message; None if a fast clock dated it."""
    return fact.spoke_at if fact.spoke_at and fact.spoke_at <= at + CLOCKS_DIFFER else None


def user_ended(draft: Draft, fact: UserEnded) -> None:
    """Apply the user's end, once. The order of the messages tells whether it is void already."""
    known, spoke_at = draft.state.ended, draft.state.spoke_at
    if known and (known.message_id == fact.message_id or not known.proof):
        return
    if (known and fact.at <= known.at) or (spoke_at and fact.at < spoke_at):
        # The end is late and the user has written since, or a clock is wrong.
        draft.doubt()
        return
    if fact.late or fact.at == spoke_at or _is_just_before(fact, draft.state.holder):
        draft.doubt()  # someone may have become active since, or a clock may be slow
    take_in_end(draft, fact)


def _is_just_before(fact: UserEnded, holder: Holder) -> bool:
    """Return whether a user's clock dates the end shortly before control became free.

    That order is not reliable: someone may have become active since.
    """
    return holder.who is Who.NOBODY and holder.since is not None and timedelta(0) < holder.since - fact.at <= JUST_NOW


def take_in_end(draft: Draft, fact: UserEnded) -> None:
    """Record the end, and stop the run unless it is the closing run of this end."""
    run = draft.state.run
    # The pass of a handback and the message of the end arrive in either order.
    handed_back = run is not None and run.purpose is Purpose.CLOSING and run.began + draft.policy.grace >= fact.at
    if run and not handed_back:
        draft.stop_run()
        _keep_opening_input(draft, run)
    elif run and run.status is RunStatus.WAITING and run.wants_input:
        # Nobody can answer any more: withdraw the question and continue without an answer.
        draft.drop_messages()
        draft.set_run(run, status=RunStatus.READY, since=draft.now)
    draft.set(
        read_at=draft.state.read_at if draft.state.in_doubt else None,
        ended=Ended(
            at=fact.at,
            check_at=draft.now + (SOON if draft.state.holder.who is Who.NOBODY else draft.policy.grace),
            message_id=fact.message_id,
            handed_back=handed_back,
        ),
    )


def _keep_opening_input(draft: Draft, run: Run) -> None:
    """Keep the input of a run that is stopped before its first turn.

    It may have been said after the end; a read must tell.
    """
    opening, untouched = run.opening, run.until is None and run.since == draft.now
    if draft.state.in_doubt and untouched and opening.event_id:
        draft.set(inputs=(Input(opening.event_id, run.began, opening.kind),))


def agent_wrote(draft: Draft, fact: AgentWrote) -> None:
    """Pass control to the integration of an agent who writes while the bot is active."""
    at = fact.at
    starts.drop(draft, "an agent has written")  # the agent may be about to get control
    state = draft.state
    if state.holder.who is Who.NOBODY and state.holder.since and at <= state.holder.since:
        draft.doubt()  # late, or a slow clock: it may have made the bot active
    if state.ended or state.holder.who is not Who.BOT or (state.holder.since and at < state.holder.since):
        return
    if state.duty is None:
        draft.stop_run()
        draft.owe(Action.PASS, "an agent wrote", fact.source)
