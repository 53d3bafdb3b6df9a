"""The rules of control: `step(state, fact, now, policy)` gives the new state and what is to be done.

A fact is first taken in as knowledge (this module), then the state is settled (`obligations`): whatever is known now
decides what is owed, whichever fact came last. That is why no order of facts can lose an obligation.

Source: the guarantee G1 to G5 in the README; the table "The two control modes" in docs/architecture.md. What the
platform does is in docs/platform.md.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import assert_never

from bot.control import duties, obligations, starts
from bot.control.by_hand import Outcome, prospect
from bot.control.commands import Command, DropUnsent, Forget
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
    FlowBegan,
    FlowFailed,
    FlowHandedOver,
    FlowMismatched,
    FlowOrdered,
    FlowReleased,
    FlowReminded,
    FlowReturned,
    FlowTold,
    FlowWaits,
    HolderSeen,
    NotUnderstood,
    OperatorReleased,
    PersonRemoved,
    Removed,
    TimePassed,
    UserEnded,
    UserSpoke,
    WidgetOpened,
)
from bot.control.policy import (
    CLOCKS_DIFFER,
    FRESH,
    FRESH_CAP,
    HEARD_LIMIT,
    INPUT_LIMIT,
    JUST_NOW,
    PROOF_WAIT,
    RETRY_CAP,
    RETRY_FIRST,
    SOON,
    Policy,
    backoff,
)
from bot.control.state import (
    Action,
    Conversation,
    Duty,
    Ended,
    Handed,
    Holder,
    Input,
    Integration,
    Opening,
    OpeningKind,
    Pending,
    Proof,
    Purpose,
    Reminder,
    Run,
    RunStatus,
    What,
    Who,
)
from webhooks.events import Reason

A_READ = "a read"
"""How a holder is known that a read has shown."""

_LEADS_TO = {Action.RELEASE: Who.NOBODY, Action.PASS: Who.OTHER, Action.TAKE: Who.BOT}

# What only happens in a conversation that is there, whatever a 404 said: that may be a key that can't see it, or come
# from a copy that lags behind.
_SIGNS_OF_LIFE = (
    HolderSeen
    | ControlMoved
    | ControlUndated
    | NotUnderstood
    | EndSuspected
    | UserSpoke
    | WidgetOpened
    | UserEnded
    | AgentWrote
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
        case HolderSeen():
            _holder_seen(draft, fact)
        case ControlMoved():
            _control_moved(draft, fact)
        case ControlUndated():
            _control_undated(draft, fact)
        case NotUnderstood() | EndSuspected():
            draft.doubt()
        case ControlFailed(_, code):
            _control_failed(draft, code)
        case UserSpoke():
            _user_spoke(draft, fact)
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
        case FlowBegan():
            _flow_began(draft, fact)
        case FlowMismatched():
            _flow_mismatched(draft, fact)
        case FlowWaits() | FlowReturned() | FlowFailed() | FlowReleased() | FlowHandedOver() | FlowReminded():
            _flow_told(draft, fact)
        case FlowOrdered(flow, data):
            starts.plan(draft, Opening(OpeningKind.OUTSIDE, flow=flow, data=data))
        case FlowTold():
            _flow_looks(draft)
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


def _holder_seen(draft: Draft, fact: HolderSeen) -> None:
    """Take in who is active as a message shows it; a read tells where that contradicts what counts for more."""
    may_be_wrong = _may_be_wrong(draft, fact)
    learned = draft.learn(fact.active, fact.at, "an event", certain=False)
    if may_be_wrong or (learned and draft.holder_is_vague):
        draft.doubt()


def _may_be_wrong(draft: Draft, fact: HolderSeen) -> bool:
    """Is who a message shows known better, or may it have come later or earlier than a person's clock tells?"""
    state, holder = draft.state, draft.state.holder
    if holder.since is None:
        return False
    contradicts, older = draft.contradicts(fact.active), holder.since - fact.at
    if timedelta(0) < older <= CLOCKS_DIFFER:
        if not holder.certain and contradicts:
            return True  # two messages, of two clocks
        if fact.apart and holder.who is not Who.BOT:
            return contradicts or holder.who is Who.NOBODY  # it may have come since, and have made the bot active
    if not contradicts:
        return False
    match holder.who:
        case Who.BOT:
            at_work = state.is_certain and bool(state.run or state.duty)
            return fact.late or (at_work and fact.active is not None and older <= timedelta(0))
        case Who.OTHER if state.is_certain and fact.apart and older <= timedelta(0):
            return True  # control comes from another by a control event: it may be told late, of the time before
        case Who.NOBODY if state.is_certain and fact.apart and timedelta(0) < -older <= JUST_NOW:
            return True  # the same
        case _:
            return fact.late


def _control_moved(draft: Draft, fact: ControlMoved) -> None:
    state = draft.state
    if _may_precede_read(draft, fact) or _may_precede_pass(draft, fact):
        _control_undated(draft, ControlUndated(fact.active, fact.reason))
        return
    before = _taken_from(state) if not (state.run or _owes(state)) else None
    how = "a releaseControl event" if fact.active is None else "a passControl event"
    if draft.learn(fact.active, fact.at, how, certain=True):
        if draft.holder_is_vague:
            draft.doubt()
        draft.set(former=None)
        _moved(draft, fact, before or state.holder)
    elif draft.contradicts(fact.active):
        # Told late, unless what is known was dated by a clock that is ahead.
        _control_undated(draft, ControlUndated(fact.active, fact.reason))
    elif draft.who(fact.active) is Who.BOT:
        _explain(draft, fact)


def _may_precede_read(draft: Draft, fact: ControlMoved) -> bool:
    """May it have happened before a read that shows otherwise? Events are dated by the platform's clock, reads by ours.

    What is told late is no base for what is at stake, either: it shows how things stood then.
    """
    state, since, duty = draft.state, draft.state.holder.since, draft.state.duty
    if not draft.contradicts(fact.active):
        return False
    if fact.late:
        return state.holder.how == A_READ or state.run is not None or duty is not None
    who = draft.who(fact.active)
    is_ours = duty is not None and duty.attempts > 0 and who is _LEADS_TO[duty.action]
    return state.holder.how == A_READ and since is not None and fact.at - since <= CLOCKS_DIFFER and not is_ours


def _may_precede_pass(draft: Draft, fact: ControlMoved) -> bool:
    """May it tell of the time before a pass that nobody has accepted yet, or of control that came back from there?"""
    duty, holder = draft.state.duty, draft.state.holder
    has_passed = duty is not None and duty.action is Action.PASS and duty.attempts > 0 and duty.accepted_at is None
    if not has_passed or fact.reason or draft.who(fact.active) is not Who.BOT:
        return False
    return holder.who is Who.BOT and holder.since is not None and fact.at <= holder.since + FRESH


def _control_undated(draft: Draft, fact: ControlUndated) -> None:
    """Let a read tell who is active. If it is the bot, the reason counts that control was given to it for."""
    draft.doubt()
    if fact.untold or draft.who(fact.active) is Who.BOT:
        draft.set(handed=Handed(fact.reason))


def _taken_from(state: Conversation) -> Holder | None:
    """Return who was active before the bot, if no control event has told yet how it got control."""
    former = state.former
    return former if former and former.who is Who.OTHER and state.holder.who is Who.BOT else None


def _explain(draft: Draft, fact: ControlMoved) -> None:
    """A control event comes late: the bot is known to hold control already, and now learns how it got it, and why.

    A run that serves the user meanwhile goes on, unless it began with what was said before the bot got control.
    """
    state, former = draft.state, draft.state.former
    if former is None or former.who is Who.BOT or state.holder.who is not Who.BOT:
        return
    if former.who is not Who.OTHER and fact.reason is None:
        return  # nobody had it: a word of the user makes the bot active
    if former.certain and former.since and fact.at < former.since:
        if fact.reason and former.since == state.spoke_at:  # dated by the user's clock, which may be ahead
            _control_undated(draft, ControlUndated(fact.active, fact.reason))
        return
    draft.set(former=None)
    serves = state.run and (state.run.began >= fact.at or fact.reason is None)
    before_end = state.ended and fact.at < state.ended.at
    if not (serves or before_end or _owes(state)):
        _moved(draft, fact, former)


def _moved(draft: Draft, fact: ControlMoved, before: Holder) -> None:
    passed_to_bot = draft.state.holder.who is Who.BOT
    by_platform = fact.reason is not None or (passed_to_bot and draft.state.ended is not None)
    if draft.policy.mode.is_contradicted(passed_to_bot=passed_to_bot, by_platform=by_platform):
        _report_mismatch(draft)
    if passed_to_bot and fact.reason is None and _has_taken(draft.state):
        return  # the bot's own doing
    if passed_to_bot:
        starts.drop(draft, "control was handed to the bot")
        before = _came_back(draft) or before
        if before.who is Who.OTHER:
            draft.set(elsewhere_at=max(fact.at, draft.state.elsewhere_at or fact.at))
        _handed_to_bot(draft, fact, before)
    elif fact.active is None and not draft.state.ended and not _has_released(draft.state.duty):
        # Maybe not the bot's doing: the session may have been ended, and whoever told it may not be heard.
        draft.set(read_at=draft.now + PROOF_WAIT)


def _came_back(draft: Draft) -> Holder | None:
    """A pass that the bot has tried must have worked, though nothing told it: control comes back from its target."""
    duty = draft.state.duty
    if not duty or duty.action is not Action.PASS or not duty.attempts:
        return None
    draft.close_duty(f"{duty.target} had been given control, shown by a passControl event back to the bot")
    return Holder(Who.OTHER, Integration(duty.target or "", duty.target, duty.target))


def _owes(state: Conversation) -> bool:
    return state.duty is not None and state.duty.is_owed


def _has_taken(state: Conversation) -> bool:
    return state.duty is not None and state.duty.action is Action.TAKE and state.duty.attempts > 0 and not state.ended


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
    from_agent = before.who is Who.OTHER and before.integration and before.integration.is_agent_workspace
    if fact.reason is not None or from_agent or before.who is Who.UNKNOWN:
        if state.run and state.run.purpose is Purpose.CLOSING:
            return
        if draft.policy.closes and not state.duty and state.closing_run is None:
            _begin_handed_back(draft, Purpose.CLOSING, opening, fact.at)
        else:
            draft.stop_run()
            draft.owe(Action.RELEASE, f"handed back ({fact.reason or 'no reason given'})")
    elif before.who is Who.OTHER and draft.policy.opens and not state.duty:
        _begin_handed_back(draft, Purpose.OPENING, opening, fact.at)


def _begin_handed_back(draft: Draft, purpose: Purpose, opening: Opening, at: datetime) -> None:
    """Begin a flow for a handback, once until the user speaks: else two bots could hand over to each other for ever."""
    if draft.state.handback_at is None:
        draft.start_run(purpose, opening, at)
        draft.set(handback_at=at)
        return
    draft.stop_run()
    draft.report("handed_around", "control was handed to the bot again, and the user has said nothing in between")
    draft.owe(Action.RELEASE, "handed around")


def _control_failed(draft: Draft, code: str) -> None:
    duty = draft.state.duty
    # Each attempt fails once: what is told beyond that is about an earlier target, or is somebody else's.
    if duty and duty.action is Action.PASS and duty.refusals < duty.attempts:
        draft.set_duty(
            refusals=duty.refusals + 1,
            failures=duty.failures + 1,
            next_attempt=draft.now + backoff(max(duty.failures + 1, duty.attempts), draft.state.id),
            last_answer=f"pass failed: {code}",
        )
        duties.fall_back_from_pass(draft)


def _user_spoke(draft: Draft, fact: UserSpoke) -> None:
    spoken = fact.input
    if spoken.said_id:
        if spoken.said_id in draft.state.heard:
            return  # told again, under another event id
        draft.set(heard=(*draft.state.heard, spoken.said_id)[-HEARD_LIMIT:])
    _forget_handback(draft, spoken.at)
    since = draft.state.holder.since
    if since and spoken.at <= since:  # else it may be dated by the bot's own clock, and would hide a later end
        if draft.state.holder.who is Who.NOBODY:
            draft.doubt()  # said before that, or dated by a clock that is behind: it may have made the bot active
        draft.set(spoke_at=max(spoken.at, draft.state.spoke_at or spoken.at))
    closing = draft.state.run if draft.state.run and draft.state.run.purpose is Purpose.CLOSING else None
    if draft.state.ended and not closing and not _reopen(draft, spoken, draft.state.ended, late=fact.late):
        return
    to_others = draft.state.holder.who is Who.OTHER and not draft.state.in_doubt
    if to_others or (closing and spoken.at < closing.began) or _said_to_others(draft, fact):
        return
    if fact.said_to and fact.said_to.is_only_named:
        spoken = replace(spoken, said_to=fact.said_to.name)
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


def _forget_handback(draft: Draft, spoke_at: datetime) -> None:
    """The user has spoken: control may be handed back, and a flow begin, once more."""
    if draft.state.handback_at and spoke_at > draft.state.handback_at:
        draft.set(handback_at=None)


def _said_to_others(draft: Draft, fact: UserSpoke) -> bool:
    """Was it said to another, or to nobody before the bot got control (and to no run that is still at work)?

    What the event shows of who was active counts for more than its time: a user's clock may be behind.
    """
    state, to = draft.state, fact.said_to
    mine = next((known.integration for known in (state.holder, state.former) if known and known.who is Who.BOT), None)
    to = to and to.completed_by(state.holder.integration)
    if to and (not to.is_only_named or (mine and mine.name and not mine.is_only_named)):
        return draft.who(to) is Who.OTHER
    if to or state.holder.who is not Who.BOT or (state.run and state.run.began <= fact.input.at):
        return False
    return state.elsewhere_at is not None and fact.input.at < state.elsewhere_at


def _widget_opened(draft: Draft, opened: Input) -> None:
    """Nobody has written yet. That is no contact, unless there is a flow that greets; and none when told late."""
    state = draft.state
    untouched = not (state.run or state.inputs or state.duty or state.ended or state.spoke_at)
    if draft.policy.greets and untouched and state.holder.who is Who.BOT:
        draft.set(inputs=(opened,))


def _reopen(draft: Draft, spoken: Input, ended: Ended, *, late: bool) -> bool:
    """The user wrote after the end: the conversation is live again, and the end is void.

    True if it is open again, or if only a read can tell that (what was said is kept until then).
    """
    near = abs(spoken.at - ended.at) <= CLOCKS_DIFFER
    if late or near:
        draft.doubt()  # which came first, the order of the messages tells
    if late or (near and spoken.at <= ended.at):
        return True
    return _reopens(draft, spoken, ended)


def _reopens(draft: Draft, spoken: Input, ended: Ended) -> bool:
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


def _user_spoke_unheard(draft: Draft, pending: Pending, fact: ConversationRead, at: datetime) -> None:
    """A read shows when the user said the newest thing. After the end, that makes the conversation live again.

    Not so once the closing flow has begun: what is said then may be the answer to it. Unless another is active since.
    """
    ended, spoke_at = draft.state.ended, fact.spoke_at
    if spoke_at and spoke_at > at + CLOCKS_DIFFER:
        spoke_at = None  # by a clock that is ahead
    if spoke_at:
        draft.set(spoke_at=max(spoke_at, draft.state.spoke_at or spoke_at))
        _forget_handback(draft, spoke_at)
    if ended is None or (draft.state.closing_run is not None and draft.who(fact.active) is not Who.OTHER):
        return
    # Where the last end is void, so is every end before it: whichever was known when the read began.
    listed = ended.message_id is not None and ended.message_id in (fact.void_end, pending.end)
    if (spoke_at and spoke_at > ended.at) or (fact.void_end and listed):
        _make_live(draft)


def _user_ended(draft: Draft, fact: UserEnded) -> None:
    known, spoke_at = draft.state.ended, draft.state.spoke_at
    if known and (known.message_id == fact.message_id or not known.proof):
        return
    if (known and fact.at <= known.at) or (spoke_at and fact.at < spoke_at):
        # Told late, and the user has written again since; or a clock is wrong. The order of the messages tells.
        draft.doubt()
        return
    if fact.late or fact.at == spoke_at:
        draft.doubt()  # somebody may be active since, and a clock be behind: nothing is proven yet
    _take_in_end(draft, fact)


def _take_in_end(draft: Draft, fact: UserEnded) -> None:
    run = draft.state.run
    # The pass that hands the conversation back and the message that tells the end come in either order.
    handed_back = run is not None and run.purpose is Purpose.CLOSING and run.began + draft.policy.grace >= fact.at
    if run and not handed_back:
        draft.stop_run()
        _keep_unheard(draft, run)
    elif run and run.status is RunStatus.WAITING and run.wants_input:
        # Nobody can answer any more: the question is taken back, and the flow goes on without an answer.
        draft.commands.append(DropUnsent())
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


def _agent_wrote(draft: Draft, at: datetime, source: str) -> None:
    """An agent writes while the bot holds control: the agent is to have it."""
    starts.drop(draft, "an agent has written")  # they may be about to get control
    state = draft.state
    if state.holder.who is Who.NOBODY and state.holder.since and at <= state.holder.since:
        draft.doubt()  # told late, or dated by a clock that is behind: it may have made the bot active
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
    draft.set(start=None, reminders=())


def _person_removed(draft: Draft) -> None:
    """Forget everything; then a read tells whether the conversation is gone too, or who is active for the others."""
    draft.stop_run()
    draft.close_duty("void: a person was removed, and all about the conversation is forgotten")
    draft.state = draft.state.begun_anew(draft.now + SOON)
    draft.commands.append(Forget())


def _flow_began(draft: Draft, fact: FlowBegan) -> None:
    run = draft.state.run
    if run and run.id == fact.run_id:
        opening = replace(run.opening, data=None, about={})  # the journal has it now
        draft.set_run(run, flow=fact.flow, version=fact.version, opening=opening)


def _flow_mismatched(draft: Draft, fact: FlowMismatched) -> None:
    """The code has changed under the run. What the user has said was the answer to something else: it is dropped."""
    run = draft.state.run
    if run is None or run.id != fact.run_id:
        return  # it was stopped meanwhile
    if fact.restart and not run.restarted:
        draft.report("flow_restarted", fact.problem)
        draft.restart_run(run)
        return
    draft.report("flow_mismatched", fact.problem)
    _flow_told(draft, FlowFailed(fact.run_id, fact.problem))


def _flow_told(
    draft: Draft, fact: FlowWaits | FlowReturned | FlowFailed | FlowReleased | FlowHandedOver | FlowReminded
) -> None:
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
            draft.finish_run()
            obligations.owe_after_flow(draft, f"{run.purpose} flow failed", over=over)
        case FlowReleased():
            draft.finish_run()
            draft.owe(Action.RELEASE, "the flow released control")
        case FlowReminded():
            draft.finish_run()
            _flow_reminded(draft, fact)
        case FlowHandedOver(_, to, metadata):
            draft.finish_run()
            if fact.shortened:
                draft.report("ticket_field_shortened", ", ".join(fact.shortened))
            if fact.left_out:
                draft.report("ticket_field_left_out", ", ".join(fact.left_out))
            if draft.state.ended:
                draft.owe(Action.RELEASE, "the flow handed over an ended conversation")
            else:
                draft.owe(Action.PASS, "the flow handed over", to or draft.policy.mode.pass_to, metadata)
        case unknown:
            assert_never(unknown)


def _flow_reminded(draft: Draft, fact: FlowReminded) -> None:
    """Release control now. Whether the flow may begin shows when its time has come."""
    at = draft.now + fact.after
    draft.owe(Action.RELEASE, f"the flow released control, and reminds with flow {fact.flow!r} at {at:%Y-%m-%d %H:%M}")
    starts.remind(draft, Reminder(fact.flow, at, fact.data, fact.about))


def _flow_waits(draft: Draft, run: Run, fact: FlowWaits) -> None:
    unused = (given for given in draft.state.inputs if not fact.fresh and given.event_id not in fact.taken)
    draft.set(inputs=tuple(unused))
    until = fact.until or draft.now + draft.policy.idle
    deadline = run.deadline if run.purpose is Purpose.CLOSING else until + draft.policy.idle
    # Nobody can answer after an end: the flow goes on at once, without an answer.
    more = fact.wants_input and (bool(draft.state.inputs) or draft.state.ended is not None)
    if run.purpose is Purpose.CLOSING and fact.wants_input and not more:
        # The user may have ended the conversation, and nobody told the bot.
        soon = draft.now + SOON
        draft.set(read_at=min(soon, draft.state.read_at or soon))
    draft.set_run(
        run,
        status=RunStatus.READY if more else RunStatus.WAITING,
        since=draft.now,
        wants_input=fact.wants_input,
        until=until,
        deadline=deadline,
    )


def _flow_looks(draft: Draft) -> None:
    """Let a flow that waits take a turn. If it still has to wait, it does so until the same time."""
    run = draft.state.run
    if run and run.status is RunStatus.WAITING:
        draft.set_run(run, status=RunStatus.READY, since=draft.now)


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
    draft.read_began = max(draft.now - FRESH_CAP, min(fact.began or draft.now, draft.now))
    is_newest = draft.known_until == pending.known_until
    if pending.what is What.READ_TO_WATCH and draft.state.read_at is None:
        draft.set(in_doubt=False)
    at = max(fact.at, pending.known_until or fact.at)
    if fact.ended:
        end = fact.ended if fact.ended.at <= at + CLOCKS_DIFFER else replace(fact.ended, at=at)
        at = max(at, end.at)
        _end_found(draft, pending, fact, end)
        if draft.state.ended and draft.state.ended.message_id == end.message_id:
            _forget_said_before_end(draft, pending)
    else:
        _user_spoke_unheard(draft, pending, fact, at)
    if not draft.learn(fact.active, at, A_READ, certain=True, is_newest=is_newest):
        if pending.what is What.READ_FOR_DUTY:
            draft.set_duty(next_attempt=draft.now + backoff(1, draft.state.id))
        else:
            draft.doubt()  # something newer was told meanwhile: the next read is newer than that
        return
    _learn_why(draft, at)
    if draft.state.holder.who is Who.NOBODY:
        draft.set(inputs=())
    _forget_said_to_others(draft)
    if draft.state.ended and draft.state.inputs and not fact.ended:
        _reopens(draft, draft.state.inputs[0], draft.state.ended)
    if pending.what is What.READ_FOR_DUTY:
        duties.checked(draft)
    elif pending.what is What.READ_FOR_END:
        _end_checked(draft)


def _forget_said_before_end(draft: Draft, pending: Pending) -> None:
    """What was heard before a read stands before the end that the read shows. (Taps are never listed: times decide.)"""
    inputs = draft.state.inputs
    heard = max((place for place, given in enumerate(inputs) if given.event_id == pending.heard), default=-1)
    kept = (
        given
        for place, given in enumerate(inputs)
        if (place > heard or given.kind is not OpeningKind.MESSAGE)
        and not (pending.spoke_at and given.at <= pending.spoke_at)
    )
    draft.set(inputs=tuple(kept))


def _forget_said_to_others(draft: Draft) -> None:
    """Where the bot is known by its name now, what was said to another name was not said to the bot."""
    holder = draft.state.holder
    me = holder.integration if holder.who is Who.BOT else None
    if me and me.name and not me.is_only_named:
        kept = tuple(given for given in draft.state.inputs if given.said_to in (None, me.name))
        if kept != draft.state.inputs:
            draft.set(inputs=kept)


def _end_found(draft: Draft, pending: Pending, fact: ConversationRead, end: UserEnded) -> None:
    """Take in an end that is listed after everything that the user said.

    What the bot has heard may be newer all the same. It was listed before the end, and dated by a clock that is ahead;
    or it was said since the read began, and the end is void; or it is a tap, which is never listed.
    """
    known, spoke_at = draft.state.ended, draft.state.spoke_at
    if known and (known.message_id == end.message_id or not known.proof or end.at <= known.at):
        return
    listed = fact.spoke_at + CLOCKS_DIFFER if fact.spoke_at else end.at
    newest = max(listed, end.at + CLOCKS_DIFFER if pending.spoke_at == spoke_at else end.at)
    if spoke_at is None or spoke_at <= newest:
        _take_in_end(draft, end)


def _learn_why(draft: Draft, at: datetime) -> None:
    """The read tells whether what an undated control event said is so: its reason counts then."""
    handed = draft.state.handed
    if handed and not draft.state.in_doubt:
        draft.set(handed=None)
        _explain(draft, ControlMoved(at, draft.state.holder.integration, handed.reason))


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
