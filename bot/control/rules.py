"""The rules of control: `step(state, fact, now, policy)` gives the new state and what is to be done.

A fact is first taken in as knowledge (this module), then the state is settled (`obligations`): whatever is known now
decides what is owed, whichever fact came last. That is why no order of facts can lose an obligation.

Source: the table "The two control modes" and the guarantee G1 to G5 in the README; platform behaviour: Zendesk's
switchboard documentation.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import assert_never

from bot.control import duties, obligations
from bot.control.by_hand import Outcome, prospect
from bot.control.commands import Command, Forget
from bot.control.draft import Draft
from bot.control.facts import (
    AgentWrote,
    Answer,
    Answered,
    ControlFailed,
    ControlMoved,
    ControlUndated,
    ConversationRead,
    EndSuspected,
    Fact,
    FlowFailed,
    FlowHandedOver,
    FlowReleased,
    FlowReturned,
    FlowWaits,
    HolderSeen,
    OperatorReleased,
    PersonRemoved,
    Removed,
    TimePassed,
    UserEnded,
    UserSpoke,
    WidgetOpened,
)
from bot.control.policy import INPUT_LIMIT, PROOF_WAIT, RETRY_CAP, RETRY_FIRST, SOON, Policy, backoff
from bot.control.state import (
    Action,
    Conversation,
    Duty,
    Ended,
    Holder,
    Input,
    Integration,
    Opening,
    OpeningKind,
    Proof,
    Purpose,
    Run,
    RunStatus,
    What,
    Who,
)
from webhooks.events import Reason

AGENT_WORKSPACE = "zd:agentWorkspace"

# What only happens in a conversation that is there, whatever a 404 said: that may be a key that can't see it, or come
# from a copy that lags behind.
_SIGNS_OF_LIFE = (
    HolderSeen | ControlMoved | ControlUndated | EndSuspected | UserSpoke | WidgetOpened | UserEnded | AgentWrote
)


class UnsafeStateError(AssertionError):
    """A rule left a conversation at stake without a time at which it is looked at again: a bug."""


def step(state: Conversation, fact: Fact, now: datetime, policy: Policy) -> tuple[Conversation, tuple[Command, ...]]:
    """What a fact makes of a conversation.

    Args:
        state: the conversation before.
        fact: what happened.
        now: the bot's clock.
        policy: the settings that decisions depend on.

    Returns:
        The new state, and the commands that are to be written with it and carried out afterwards, in order.

    Raises:
        UnsafeStateError: the invariant `is_safe()` does not hold for the new state. Nothing may be stored then.
    """
    draft = Draft(state, now, policy)
    if state.gone and isinstance(fact, _SIGNS_OF_LIFE):
        draft.state = state.begun_anew(now + SOON)  # a read tells
    if not draft.state.gone or isinstance(fact, Removed | PersonRemoved):
        _take_in(draft, fact)
    obligations.settle(draft)
    if not draft.state.is_safe():
        raise UnsafeStateError(f"{type(fact).__name__} led to an unsafe state of {state.id}")
    return draft.state, tuple(draft.commands)


def _take_in(draft: Draft, fact: Fact) -> None:  # noqa: C901 - one line a fact, checked for completeness
    match fact:
        case HolderSeen(at, active):
            draft.learn(active, at, "an event", certain=False)
        case ControlMoved():
            _control_moved(draft, fact)
        case ControlUndated() | EndSuspected():
            draft.doubt()
        case ControlFailed(_, code):
            _control_failed(draft, code)
        case UserSpoke(spoken):
            _user_spoke(draft, spoken)
        case WidgetOpened(opened):
            _widget_opened(draft, opened)
        case UserEnded():
            _user_ended(draft, fact)
        case AgentWrote(at, source):
            _agent_wrote(draft, at, source)
        case Removed():
            _gone(draft)
            draft.commands.append(Forget())
        case PersonRemoved():
            _person_removed(draft)
        case FlowWaits() | FlowReturned() | FlowFailed() | FlowReleased() | FlowHandedOver():
            _flow_told(draft, fact)
        case OperatorReleased():
            _operator_released(draft, fact)
        case Answered():
            _answered(draft, fact)
        case ConversationRead():
            _conversation_read(draft, fact)
        case TimePassed():
            pass  # settling does it
        case unknown:
            assert_never(unknown)


def _control_moved(draft: Draft, fact: ControlMoved) -> None:
    before = draft.state.holder
    how = "a releaseControl event" if fact.active is None else "a passControl event"
    if not draft.learn(fact.active, fact.at, how, certain=True):
        return
    passed_to_bot = draft.state.holder.who is Who.BOT
    by_platform = fact.reason is not None or (passed_to_bot and draft.state.ended is not None)
    if draft.policy.mode.is_contradicted(passed_to_bot=passed_to_bot, by_platform=by_platform):
        _report_mismatch(draft)
    if passed_to_bot:
        _handed_to_bot(draft, fact, before)
    elif fact.active is None and not draft.state.ended and not _has_released(draft.state.duty):
        # Maybe not the bot's doing: the session may have been ended, and whoever told it may not be heard.
        draft.set(read_at=draft.now + PROOF_WAIT)


def _has_released(duty: Duty | None) -> bool:
    return duty is not None and duty.action is Action.RELEASE and duty.accepted_at is not None


def _report_mismatch(draft: Draft) -> None:
    if not draft.state.mismatch_reported:
        draft.report("mode_mismatch", f"the platform does not act as in control mode {draft.policy.mode.name!r}")
        draft.set(mismatch_reported=True)


def _handed_to_bot(draft: Draft, fact: ControlMoved, before: Holder) -> None:
    """Control was passed to the bot. An end, a reason or an agent before it make that a handback to be closed."""
    state = draft.state
    if state.ended:
        draft.set_ended(handed_back=True)
        return
    if fact.reason == Reason.TRANSFER_TO_EMAIL:
        draft.stop_run()
        draft.owe(Action.RELEASE, "transferred to email")
        return
    opening = Opening(OpeningKind.HANDBACK, reason=fact.reason)
    from_agent = before.who is Who.OTHER and before.integration and before.integration.type == AGENT_WORKSPACE
    if fact.reason is not None or from_agent or before.who is Who.UNKNOWN:
        if state.run and state.run.purpose is Purpose.CLOSING:
            return
        if draft.policy.closes and not state.duty and state.closing_run is None:
            draft.start_run(Purpose.CLOSING, opening, fact.at)
        else:
            draft.stop_run()
            draft.owe(Action.RELEASE, f"handed back ({fact.reason or 'no reason given'})")
    elif before.who is Who.OTHER and draft.policy.opens and not state.duty:
        draft.start_run(Purpose.OPENING, opening, fact.at)


def _control_failed(draft: Draft, code: str) -> None:
    duty = draft.state.duty
    if duty and duty.action is Action.PASS and duty.attempts:
        draft.set_duty(
            refusals=duty.refusals + 1,
            failures=duty.failures + 1,
            next_attempt=draft.now + backoff(max(duty.failures + 1, duty.attempts), draft.state.id),
            last_answer=f"pass failed: {code}",
        )
        duties.fall_back_from_pass(draft)


def _user_spoke(draft: Draft, spoken: Input) -> None:
    since = draft.state.holder.since
    if since and spoken.at <= since:  # else it may be dated by the bot's own clock, and would hide a later end
        draft.set(spoke_at=max(spoken.at, draft.state.spoke_at or spoken.at))
    closing = draft.state.run if draft.state.run and draft.state.run.purpose is Purpose.CLOSING else None
    if draft.state.ended and not closing and not _reopen(draft, spoken):
        return
    if draft.state.holder.who is Who.OTHER or (closing and spoken.at < closing.began):
        return
    if len(draft.state.inputs) < INPUT_LIMIT:
        draft.set(inputs=(*draft.state.inputs, spoken))
    if draft.state.run:
        draft.set_run(draft.state.run, contact=True)
    run, duty = draft.state.run, draft.state.duty
    if run and run.status is RunStatus.WAITING and run.wants_input:
        # Only what begins a turn gives the run more time: a turn that is under way may be hung.
        opening = run.purpose is Purpose.OPENING
        deadline = max(run.deadline, draft.now + draft.policy.idle) if opening else run.deadline
        draft.set_run(run, status=RunStatus.READY, since=draft.now, deadline=deadline)
    if duty and duty.accepted_at:  # whether the bot is active since the release or still, only a read tells
        draft.set_duty(next_attempt=min(duty.next_attempt, draft.now + PROOF_WAIT))


def _widget_opened(draft: Draft, opened: Input) -> None:
    """Nobody has written yet. That is no contact, unless there is a flow that greets; and none when told late."""
    state = draft.state
    untouched = not (state.run or state.inputs or state.duty or state.ended or state.spoke_at)
    if draft.policy.greets and untouched and state.holder.who is Who.BOT:
        draft.set(inputs=(opened,))


def _reopen(draft: Draft, spoken: Input) -> bool:
    """The user wrote after the end: the conversation is live again, and the end is void.

    True if it is open again, or if only a read can tell who is active in it (what was said is kept until that).
    """
    state, ended = draft.state, draft.state.ended
    if ended is None or spoken.at <= ended.at:
        return False
    if state.holder.who in (Who.BOT, Who.OTHER) and state.holder.since and state.holder.since >= spoken.at:
        draft.close_duty("void: the user wrote again after the end")
        draft.set(ended=None, closing_run=None)
        return True
    return not state.holder.certain


def _user_spoke_unheard(draft: Draft, at: datetime, active: Integration | None) -> None:
    """A read shows when the user said the newest thing. After the end, that makes the conversation live again.

    Not so once the closing flow has begun: what is said then may be the answer to it. Unless another is active since.
    """
    draft.set(spoke_at=max(at, draft.state.spoke_at or at))
    to_closing_flow = draft.state.closing_run is not None and draft.who(active) is not Who.OTHER
    if draft.state.ended and at > draft.state.ended.at and not to_closing_flow:
        draft.close_duty("void: the user wrote again after the end")
        draft.set(ended=None, closing_run=None)


def _user_ended(draft: Draft, fact: UserEnded) -> None:
    known, spoke_at = draft.state.ended, draft.state.spoke_at
    if known and (known.message_id == fact.message_id or not known.proof or fact.at <= known.at):
        return
    if spoke_at and fact.at < spoke_at:
        return  # told late: the user has written again since
    run = draft.state.run
    # The pass that hands the conversation back and the message that tells the end come in either order.
    handed_back = run is not None and run.purpose is Purpose.CLOSING and run.began + draft.policy.grace >= fact.at
    if run and not handed_back:
        draft.stop_run()
    draft.set(
        read_at=draft.state.read_at if draft.state.in_doubt else None,
        ended=Ended(
            at=fact.at,
            check_at=draft.now + (SOON if draft.state.holder.who is Who.NOBODY else draft.policy.grace),
            message_id=fact.message_id,
            handed_back=handed_back,
        ),
    )


def _agent_wrote(draft: Draft, at: datetime, source: str) -> None:
    """An agent writes while the bot holds control: the agent is to have it."""
    state = draft.state
    if state.ended or state.holder.who is not Who.BOT or (state.holder.since and at < state.holder.since):
        return
    if state.duty is None:
        draft.stop_run()
        draft.owe(Action.PASS, "an agent wrote", source)


def _gone(draft: Draft) -> None:
    draft.stop_run()
    draft.close_duty("void: the conversation is gone")
    if draft.state.ended and not draft.state.ended.proof:
        draft.set_ended(proof=Proof("the conversation is gone", draft.now))
    draft.set(gone=True, holder=Holder(how="its removal"), inputs=(), pending=None, in_doubt=False)


def _person_removed(draft: Draft) -> None:
    """Forget everything; then a read tells whether the conversation is gone too, or who is active for the others."""
    draft.stop_run()
    draft.close_duty("void: a person was removed, and all about the conversation is forgotten")
    draft.state = draft.state.begun_anew(draft.now + SOON)
    draft.commands.append(Forget())


def _flow_told(draft: Draft, fact: FlowWaits | FlowReturned | FlowFailed | FlowReleased | FlowHandedOver) -> None:
    run = draft.state.run
    if run is None or run.id != fact.run_id:
        return  # it was stopped meanwhile
    over = run.purpose is Purpose.CLOSING or not run.contact
    match fact:
        case FlowWaits():
            _flow_waits(draft, run, fact)
        case FlowReturned():
            draft.finish_run()
            obligations.owe_after_flow(draft, f"{run.purpose} flow complete", over=over)
        case FlowFailed(_, error):
            draft.report("flow_failed", error)
            draft.stop_run()
            obligations.owe_after_flow(draft, f"{run.purpose} flow failed", over=over)
        case FlowReleased():
            draft.finish_run()
            draft.owe(Action.RELEASE, "the flow released control")
        case FlowHandedOver(_, to, metadata):
            draft.finish_run()
            if draft.state.ended:
                draft.owe(Action.RELEASE, "the flow handed over an ended conversation")
            else:
                draft.owe(Action.PASS, "the flow handed over", to or draft.policy.mode.pass_to, metadata)
        case unknown:
            assert_never(unknown)


def _flow_waits(draft: Draft, run: Run, fact: FlowWaits) -> None:
    unused = (given for given in draft.state.inputs if not fact.fresh and given.event_id not in fact.taken)
    draft.set(inputs=tuple(unused))
    until = fact.until or draft.now + draft.policy.idle
    deadline = run.deadline if run.purpose is Purpose.CLOSING else until + draft.policy.idle
    more = fact.wants_input and bool(draft.state.inputs)
    draft.set_run(
        run,
        status=RunStatus.READY if more else RunStatus.WAITING,
        since=draft.now,
        wants_input=fact.wants_input,
        until=until,
        deadline=deadline,
    )


def _operator_released(draft: Draft, fact: OperatorReleased) -> None:
    """By hand, the same road as every other release. What others have is taken only as the operator has confirmed."""
    state, foreseen = draft.state, prospect(draft.state, draft.policy)
    reason = f"released by hand ({fact.by})"
    if foreseen.outcome is Outcome.RELEASE:
        draft.stop_run()
        draft.owe(Action.RELEASE, reason)
        draft.set_duty(next_attempt=draft.now)
    elif foreseen.against and foreseen.against == fact.against:
        duties.owe_against(draft, reason, foreseen.against)
    elif state.ended and not state.ended.proof:
        draft.set_ended(check_at=draft.now)
    else:
        draft.set(read_at=draft.now)


def _answered(draft: Draft, fact: Answered) -> None:
    pending = draft.state.pending
    if fact.answer is Answer.GONE:
        if draft.state.is_blank:
            draft.commands.append(Forget())
        else:
            draft.report("conversation_gone", fact.detail)
        _gone(draft)
        return
    if pending is None or pending.effect_id != fact.effect_id:
        return
    draft.set(pending=None)
    match pending.what:
        case What.RELEASE | What.PASS | What.READ_FOR_DUTY:
            if draft.state.duty:
                duties.answered(draft, draft.state.duty, pending.what, fact)
        case What.READ_TO_WATCH:
            asked = min(fact.retry_after or timedelta(0), RETRY_CAP)
            draft.set(read_at=draft.now + max(backoff(draft.state.watches, draft.state.id), RETRY_FIRST, asked))
        case What.READ_FOR_END:
            pass  # the next check has its time already
        case unknown:
            assert_never(unknown)


def _conversation_read(draft: Draft, fact: ConversationRead) -> None:
    pending = draft.state.pending
    if pending is None or pending.effect_id != fact.effect_id:
        return  # commanded before something that made it moot
    draft.set(pending=None)
    if pending.what is What.READ_TO_WATCH and draft.state.read_at is None:
        draft.set(in_doubt=False)
    at = max(fact.at, pending.known_until or fact.at)
    if fact.spoke_at:
        _user_spoke_unheard(draft, fact.spoke_at, fact.active)
    if fact.ended:
        _user_ended(draft, fact.ended)
        at = max(at, fact.ended.at)
    if not draft.learn(fact.active, at, "a read", certain=True):
        if pending.what is What.READ_FOR_DUTY:
            draft.set_duty(next_attempt=draft.now + backoff(1, draft.state.id))
        return
    if draft.state.holder.who is Who.NOBODY:
        draft.set(inputs=())
    elif draft.state.ended and draft.state.inputs:
        _reopen(draft, draft.state.inputs[0])
    if pending.what is What.READ_FOR_DUTY:
        duties.checked(draft)
    elif pending.what is What.READ_FOR_END:
        _end_checked(draft)


def _end_checked(draft: Draft) -> None:
    """The grace is over and a read shows who is still active in a conversation that has ended."""
    state = draft.state
    if state.ended is None or state.ended.proof:
        return  # the user has opened it again meanwhile, or somebody is active since it was closed: another matter
    if state.holder.who is Who.BOT:
        draft.set_ended(held_after_grace=True)
    elif state.holder.who is Who.OTHER:
        if draft.policy.app_key:
            duties.owe_with_app_key(draft, f"the user ended the conversation and {state.holder} is still active")
        elif not state.no_app_key_reported:
            draft.report("no_app_key", f"only an app key could release what {state.holder} holds after the end")
            draft.set(no_app_key_reported=True)
