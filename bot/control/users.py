"""What users and agents say and do: words for the bot and for others, ends, and conversations that open again."""

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
from bot.control.state import Action, Conversation, Ended, Holder, Input, Pending, Purpose, Run, RunStatus, Who


def user_spoke(draft: Draft, fact: UserSpoke) -> None:
    """Take in what the user said: to the bot or to others, before an end or after it, once."""
    spoken = fact.input
    if spoken.said_id:
        if spoken.said_id in draft.state.heard:
            return  # told again, under another event id
        draft.set(heard=(*draft.state.heard, spoken.said_id)[-HEARD_LIMIT:])
    _note_when(draft, spoken)
    run = draft.state.run
    if run and run.purpose is Purpose.CLOSING:
        if spoken.at < run.began:
            return  # it is no answer to the closing flow
    elif draft.state.ended and not _reopen(draft, spoken, draft.state.ended, late=fact.late):
        return
    if _said_to_others(draft, fact):
        return
    if fact.said_to and fact.said_to.is_only_named:
        spoken = replace(spoken, said_to=fact.said_to.name)
    _hear(draft, spoken)


def _note_when(draft: Draft, spoken: Input) -> None:
    """Note when the user spoke last, where that is known: a word that arrives late, or by a clock that is behind."""
    forget_handback(draft, spoken.at)
    since = draft.state.holder.since
    if since and spoken.at <= since:  # else it may be dated by the bot's own clock, and would hide a later end
        if draft.state.holder.who is Who.NOBODY:
            draft.doubt()  # said before that, or dated by a clock that is behind: it may have made the bot active
        draft.set(spoke_at=max(spoken.at, draft.state.spoke_at or spoken.at))


def _hear(draft: Draft, spoken: Input) -> None:
    """Keep what was said to the bot; a flow that waits for it takes a turn."""
    if len(draft.state.inputs) < INPUT_LIMIT:
        draft.set(inputs=(*draft.state.inputs, spoken))
    run, duty = draft.state.run, draft.state.duty
    if run and run.status is RunStatus.WAITING and run.wants_input:
        # Only what begins a turn gives the run more time: a turn that is under way may be hung.
        is_opening = run.purpose is Purpose.OPENING
        deadline = max(run.deadline, draft.now + draft.policy.idle) if is_opening else run.deadline
        draft.set_run(run, contact=True, status=RunStatus.READY, since=draft.now, deadline=deadline)
    elif run:
        draft.set_run(run, contact=True)
    if duty and duty.accepted_at:  # whether the bot is active since the release or still, only a read tells
        draft.set_duty(next_attempt=min(duty.next_attempt, draft.now + PROOF_WAIT))


def forget_handback(draft: Draft, spoke_at: datetime) -> None:
    """The user has spoken: control may be handed back, and a flow begin, once more."""
    if draft.state.handback_at and spoke_at > draft.state.handback_at:
        draft.set(handback_at=None)


def _said_to_others(draft: Draft, fact: UserSpoke) -> bool:
    """Was it said to another, or to nobody before the bot got control (and to no run that is still at work)?

    What the event shows of who was active counts for more than its time: a user's clock may be behind.
    """
    state = draft.state
    if state.holder.who is Who.OTHER and not state.in_doubt:
        return True
    to = fact.said_to and fact.said_to.completed_by(state.holder.integration)
    if to is None:
        return _came_before(state, fact.input)
    known = (holder.integration for holder in (state.holder, state.former) if holder and holder.who is Who.BOT)
    mine = next(known, None)
    if to.is_only_named and not (mine and mine.name):
        return False  # by that name the bot itself may be meant
    return draft.who(to) is Who.OTHER


def _came_before(state: Conversation, spoken: Input) -> bool:
    """Does its time alone tell that it was said before the bot got control from another?"""
    if state.holder.who is not Who.BOT or (state.run and state.run.began <= spoken.at):
        return False
    if state.former and state.former.who is Who.NOBODY:
        return False  # a word of the user has made the bot active since
    return state.elsewhere_at is not None and spoken.at < state.elsewhere_at


def widget_opened(draft: Draft, fact: WidgetOpened) -> None:
    """Nobody has written yet. That is no contact, unless there is a flow that greets; and none when told late."""
    state = draft.state
    untouched = not (state.run or state.inputs or state.duty or state.ended or state.spoke_at)
    if draft.policy.greets and untouched and state.holder.who is Who.BOT:
        draft.set(inputs=(fact.input,))


def _reopen(draft: Draft, spoken: Input, ended: Ended, *, late: bool) -> bool:
    """The user wrote after the end: the conversation is live again, and the end is void.

    True if it is open again, or if only a read can tell that (what was said is kept until then).
    """
    near = abs(spoken.at - ended.at) <= CLOCKS_DIFFER
    if late or near:
        draft.doubt()  # which came first, the order of the messages tells
    if late or (near and spoken.at <= ended.at):
        return True
    return reopens(draft, spoken, ended)


def reopens(draft: Draft, spoken: Input, ended: Ended) -> bool:
    """Do the times show that the user wrote after the end? True also where nobody knows yet who is active since."""
    holder = draft.state.holder
    if spoken.at <= ended.at:
        return False
    if holder.who in (Who.BOT, Who.OTHER) and holder.since and holder.since >= spoken.at:
        _make_live(draft)
        return True
    return not draft.state.is_certain


def _make_live(draft: Draft) -> None:
    draft.close_duty("void: the user wrote again after the end")
    draft.set(ended=None, closing_run=None)


def user_spoke_unheard(draft: Draft, pending: Pending, fact: ConversationRead, at: datetime) -> None:
    """A read shows when the user said the newest thing. After the end, that makes the conversation live again.

    Not so once the closing flow has begun: what is said then may be the answer to it. Unless another is active since.
    """
    ended, spoke_at = draft.state.ended, _believed(fact, at)
    if spoke_at:
        draft.set(spoke_at=max(spoke_at, draft.state.spoke_at or spoke_at))
        forget_handback(draft, spoke_at)
    is_answer = draft.state.closing_run is not None and draft.who(fact.active) is not Who.OTHER
    if ended is None or is_answer:
        return
    # Where the last end is void, so is every end before it: whichever was known when the read began.
    listed = ended.message_id is not None and ended.message_id in (fact.void_end, pending.end)
    if (spoke_at and spoke_at > ended.at) or (fact.void_end and listed):
        _make_live(draft)


def _believed(fact: ConversationRead, at: datetime) -> datetime | None:
    """When the user said the newest thing that a read shows; None where a clock that is ahead has dated it."""
    return fact.spoke_at if fact.spoke_at and fact.spoke_at <= at + CLOCKS_DIFFER else None


def user_ended(draft: Draft, fact: UserEnded) -> None:
    """Take in the user's end, once; the order of the messages tells whether it is void already."""
    known, spoke_at = draft.state.ended, draft.state.spoke_at
    if known and (known.message_id == fact.message_id or not known.proof):
        return
    if (known and fact.at <= known.at) or (spoke_at and fact.at < spoke_at):
        # Told late, and the user has written again since; or a clock is wrong. The order of the messages tells.
        draft.doubt()
        return
    if fact.late or fact.at == spoke_at or _is_just_before(fact, draft.state.holder):
        draft.doubt()  # somebody may be active since, and a clock be behind: nothing is proven yet
    take_in_end(draft, fact)


def _is_just_before(fact: UserEnded, holder: Holder) -> bool:
    """Is the end dated, by the user's clock, shortly before what is known of nobody being active?"""
    return holder.who is Who.NOBODY and holder.since is not None and timedelta(0) < holder.since - fact.at <= JUST_NOW


def take_in_end(draft: Draft, fact: UserEnded) -> None:
    """The conversation has ended: no flow but a closing one goes on."""
    run = draft.state.run
    # The pass that hands the conversation back and the message that tells the end come in either order.
    handed_back = run is not None and run.purpose is Purpose.CLOSING and run.began + draft.policy.grace >= fact.at
    if run and not handed_back:
        draft.stop_run()
        _keep_unheard(draft, run)
    elif run and run.status is RunStatus.WAITING and run.wants_input:
        # Nobody can answer any more: the question is taken back, and the flow goes on without an answer.
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


def _keep_unheard(draft: Draft, run: Run) -> None:
    """A run is stopped before its first turn: what began it may have been said after the end, as a read tells."""
    opening, untouched = run.opening, run.until is None and run.since == draft.now
    if draft.state.in_doubt and untouched and opening.event_id:
        draft.set(inputs=(Input(opening.event_id, run.began, opening.kind),))


def agent_wrote(draft: Draft, fact: AgentWrote) -> None:
    """An agent writes while the bot holds control: the agent is to have it."""
    at = fact.at
    starts.drop(draft, "an agent has written")  # they may be about to get control
    state = draft.state
    if state.holder.who is Who.NOBODY and state.holder.since and at <= state.holder.since:
        draft.doubt()  # told late, or dated by a clock that is behind: it may have made the bot active
    if state.ended or state.holder.who is not Who.BOT or (state.holder.since and at < state.holder.since):
        return
    if state.duty is None:
        draft.stop_run()
        draft.owe(Action.PASS, "an agent wrote", fact.source)
