"""Who is active: what messages and control events tell, what counts for more, and why control came to the bot."""

from __future__ import annotations

from datetime import timedelta

from bot.control import duties, starts
from bot.control.draft import Draft
from bot.control.facts import ControlFailed, ControlMoved, ControlUndated, HolderSeen
from bot.control.policy import (
    CLOCKS_DIFFER,
    FRESH,
    JUST_NOW,
    PROOF_WAIT,
    backoff,
)
from bot.control.state import (
    Action,
    Conversation,
    Duty,
    Handed,
    Holder,
    Integration,
    Opening,
    OpeningKind,
    Purpose,
    Who,
)
from webhooks.events import Reason

A_READ = "a read"
"""How a holder is known that a read has shown."""

_LEADS_TO = {Action.RELEASE: Who.NOBODY, Action.PASS: Who.OTHER, Action.TAKE: Who.BOT}


def holder_seen(draft: Draft, fact: HolderSeen) -> None:
    """Take in who is active as a message shows it; a read tells where that contradicts what counts for more."""
    may_be_wrong = _may_be_wrong(draft, fact)
    learned = draft.learn(fact.active, fact.at, "an event", certain=False)
    if may_be_wrong or (learned and draft.holder_is_vague):
        draft.doubt()


def _may_be_wrong(draft: Draft, fact: HolderSeen) -> bool:
    """Is who a message shows known better, or may it have come later or earlier than a person's clock tells?"""
    holder = draft.state.holder
    if holder.since is None:
        return False
    contradicts, newer = draft.contradicts(fact.active), fact.at - holder.since
    if -CLOCKS_DIFFER <= newer < timedelta(0):
        if not holder.certain and contradicts:
            return True  # two messages, of two clocks
        if fact.apart and holder.who is not Who.BOT:
            return contradicts or holder.who is Who.NOBODY  # it may have come since, and have made the bot active
    return contradicts and (fact.late or _is_told_better(draft.state, fact, newer))


def _is_told_better(state: Conversation, fact: HolderSeen, newer: timedelta) -> bool:
    """Would a control event or a read have told that change, and does a message that looks newer mean another time?"""
    if not state.is_certain or newer < timedelta(0):
        return False
    match state.holder.who:
        case Who.BOT:
            return fact.active is not None and bool(state.run or state.duty)
        case Who.OTHER:
            return fact.apart  # control comes from another by a control event: this may be of the time before
        case Who.NOBODY:
            return fact.apart and timedelta(0) < newer <= JUST_NOW
        case _:
            return False


def control_moved(draft: Draft, fact: ControlMoved) -> None:
    """Take in a control event: who is active, and why; a read tells where it may be of the past."""
    state = draft.state
    if _may_precede_read(draft, fact) or _may_precede_pass(draft, fact):
        control_undated(draft, ControlUndated(fact.active, fact.reason))
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
        control_undated(draft, ControlUndated(fact.active, fact.reason))
    elif draft.who(fact.active) is Who.BOT:
        explain(draft, fact)


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


def control_undated(draft: Draft, fact: ControlUndated) -> None:
    """Let a read tell who is active. If it is the bot, the reason counts that control was given to it for."""
    draft.doubt()
    if fact.untold or draft.who(fact.active) is Who.BOT:
        draft.set(handed=Handed(fact.reason))


def _taken_from(state: Conversation) -> Holder | None:
    """Return who was active before the bot, if no control event has told yet how it got control."""
    former = state.former
    return former if former and former.who is Who.OTHER and state.holder.who is Who.BOT else None


def explain(draft: Draft, fact: ControlMoved) -> None:
    """A control event comes late: the bot is known to hold control already, and now learns how it got it, and why.

    A run that serves the user meanwhile goes on, unless it began with what was said before the bot got control.
    """
    state, former = draft.state, draft.state.former
    if former is None or not _can_explain(state, former, fact):
        return
    if former.certain and former.since and fact.at < former.since:
        if fact.reason and former.since == state.spoke_at:  # dated by the user's clock, which may be ahead
            control_undated(draft, ControlUndated(fact.active, fact.reason))
        return
    draft.set(former=None)
    if not _goes_on(state, fact):
        _moved(draft, fact, former)


def _can_explain(state: Conversation, former: Holder, fact: ControlMoved) -> bool:
    """Has somebody else had control before the bot? If nobody had it, a word of the user has made the bot active."""
    if former.who is Who.BOT or state.holder.who is not Who.BOT:
        return False
    return former.who is Who.OTHER or fact.reason is not None


def _goes_on(state: Conversation, fact: ControlMoved) -> bool:
    """Does what is at work go on, whatever has given the bot control before it?"""
    if state.run and (state.run.began >= fact.at or fact.reason is None):
        return True
    return _owes(state) or (state.ended is not None and fact.at < state.ended.at)


def _moved(draft: Draft, fact: ControlMoved, before: Holder) -> None:
    passed_to_bot = draft.state.holder.who is Who.BOT
    by_platform = fact.reason is not None or (passed_to_bot and draft.state.ended is not None)
    if draft.policy.mode.is_contradicted(passed_to_bot=passed_to_bot, by_platform=by_platform):
        _report_mismatch(draft)
    if passed_to_bot:
        _passed_to_bot(draft, fact, before)
    elif fact.active is None and not draft.state.ended and not _has_released(draft.state.duty):
        # Maybe not the bot's doing: the session may have been ended, and whoever told it may not be heard.
        draft.set(read_at=draft.now + PROOF_WAIT)


def _passed_to_bot(draft: Draft, fact: ControlMoved, before: Holder) -> None:
    if fact.reason is None and _has_taken(draft.state):
        return  # the bot's own doing
    starts.drop(draft, "control was handed to the bot")
    before = _came_back(draft) or before
    if before.who is Who.OTHER:
        draft.set(elsewhere_at=max(fact.at, draft.state.elsewhere_at or fact.at))
    _handed_to_bot(draft, fact, before)


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
    from_agent = before.who is Who.OTHER and before.integration and before.integration.is_agent_workspace
    if fact.reason is not None or from_agent or before.who is Who.UNKNOWN:
        _close_handed_back(draft, fact)
    elif before.who is Who.OTHER and draft.policy.opens and not state.duty:
        _begin_handed_back(draft, Purpose.OPENING, fact)


def _close_handed_back(draft: Draft, fact: ControlMoved) -> None:
    """What an agent has finished gets its closing flow, once, and is released."""
    state = draft.state
    if state.run and state.run.purpose is Purpose.CLOSING:
        return
    if draft.policy.closes and not state.duty and state.closing_run is None:
        _begin_handed_back(draft, Purpose.CLOSING, fact)
    else:
        draft.stop_run()
        draft.owe(Action.RELEASE, f"handed back ({fact.reason or 'no reason given'})")


def _begin_handed_back(draft: Draft, purpose: Purpose, fact: ControlMoved) -> None:
    """Begin a flow for a handback, once until the user speaks: else two bots could hand over to each other for ever."""
    if draft.state.handback_at is None:
        draft.start_run(purpose, Opening(OpeningKind.HANDBACK, reason=fact.reason), fact.at)
        # What was said before, by a clock that is ahead, is no news.
        draft.set(handback_at=max(fact.at, draft.state.spoke_at or fact.at))
        return
    draft.stop_run()
    draft.report("handed_around", "control was handed to the bot again, and the user has said nothing in between")
    draft.owe(Action.RELEASE, "handed around")


def control_failed(draft: Draft, fact: ControlFailed) -> None:
    """The platform could not pass control on as the bot wanted."""
    duty = draft.state.duty
    # Each attempt fails once: what is told beyond that is about an earlier target, or is somebody else's.
    if duty and duty.action is Action.PASS and duty.refusals < duty.attempts:
        draft.set_duty(
            refusals=duty.refusals + 1,
            failures=duty.failures + 1,
            next_attempt=draft.now + backoff(max(duty.failures + 1, duty.attempts), draft.state.id),
            last_answer=f"pass failed: {fact.code}",
        )
        duties.fall_back_from_pass(draft)
