"""Learns who is active from messages and control events, and reacts when control reaches the bot.

A control event or a read is certain; a message only shows who was active. Where clocks
differ too little to tell which fact is newer, the holder is in doubt, and a read
decides.
"""

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
"""`Holder.how` of a holder that a read has shown."""

_LEADS_TO = {Action.RELEASE: Who.NOBODY, Action.PASS: Who.OTHER, Action.TAKE: Who.BOT}


def holder_seen(draft: Draft, fact: HolderSeen) -> None:
    """Learn who is active from a message. A contradiction to better knowledge requires a read."""
    may_be_wrong = _may_be_wrong(draft, fact)
    learned = draft.learn(fact.active, fact.at, "an event", certain=False)
    if may_be_wrong or (learned and draft.holder_is_vague):
        draft.doubt()


def _may_be_wrong(draft: Draft, fact: HolderSeen) -> bool:
    """Return whether only a read can tell if the message shows the present holder.

    It may contradict better knowledge, or a person's clock may have dated it wrongly.
    """
    holder = draft.state.holder
    if holder.since is None:
        return False
    contradicts, newer = draft.contradicts(fact.active), fact.at - holder.since
    if -CLOCKS_DIFFER <= newer < timedelta(0):
        if not holder.certain and contradicts:
            return True  # two messages, dated by two clocks
        if fact.apart and holder.who is not Who.BOT:
            # It may be the newer one, and may have made the bot active.
            return contradicts or holder.who is Who.NOBODY
    return contradicts and (fact.late or _may_predate_holder(draft.state, fact, newer))


def _may_predate_holder(state: Conversation, fact: HolderSeen, newer: timedelta) -> bool:
    """Return whether a message that looks newer than a certain holder may predate it.

    A control event or a read would have told such a change, so the message's clock is
    in question.
    """
    if not state.is_certain or newer < timedelta(0):
        return False
    if state.holder.who is Who.BOT:
        return fact.active is not None and bool(state.run or state.duty)
    # Only a control event takes control from another; from nobody, a message does.
    return fact.apart and (state.holder.who is Who.OTHER or timedelta(0) < newer <= JUST_NOW)


def control_moved(draft: Draft, fact: ControlMoved) -> None:
    """Learn the holder from a control event, and react to it.

    A read must tell if the event may be outdated.
    """
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
        _react_to_move(draft, fact, before or state.holder)
    elif draft.contradicts(fact.active):
        # The event is late, or a fast clock dated the holder on record.
        control_undated(draft, ControlUndated(fact.active, fact.reason))
    elif draft.who(fact.active) is Who.BOT:
        explain(draft, fact)


def _may_precede_read(draft: Draft, fact: ControlMoved) -> bool:
    """Return whether the event may predate the read that it contradicts.

    Events are dated by the platform's clock, reads by the bot's. An event that comes
    late shows a past holder, so it must not touch a run or a duty either.
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
    """Return whether control given to the bot may predate its own pass, or be back from that pass.

    Nobody has accepted the pass yet, so a read must tell.
    """
    duty, holder = draft.state.duty, draft.state.holder
    has_passed = duty is not None and duty.action is Action.PASS and duty.attempts > 0 and duty.accepted_at is None
    if not has_passed or fact.reason or draft.who(fact.active) is not Who.BOT:
        return False
    return holder.who is Who.BOT and holder.since is not None and fact.at <= holder.since + FRESH


def control_undated(draft: Draft, fact: ControlUndated) -> None:
    """Request a read. If it shows the bot, the event's reason counts."""
    draft.doubt()
    if fact.untold or draft.who(fact.active) is Who.BOT:
        draft.set(handed=Handed(fact.reason))


def _taken_from(state: Conversation) -> Holder | None:
    """Return who was active before the bot, if no control event has explained that yet."""
    former = state.former
    return former if former and former.who is Who.OTHER and state.holder.who is Who.BOT else None


def explain(draft: Draft, fact: ControlMoved) -> None:
    """Apply a late control event that tells how the bot got the control it already holds.

    A run that serves the user meanwhile continues, unless it began with input from
    before the bot got control.
    """
    state, former = draft.state, draft.state.former
    if former is None or not _can_explain(state, former, fact):
        return
    if former.certain and former.since and fact.at < former.since:
        # The user's clock, which may be fast, dated the former holder.
        if fact.reason and former.since == state.spoke_at:
            control_undated(draft, ControlUndated(fact.active, fact.reason))
        return
    draft.set(former=None)
    if not _outweighs_event(state, fact):
        _react_to_move(draft, fact, former)


def _can_explain(state: Conversation, former: Holder, fact: ControlMoved) -> bool:
    """Return whether the event can explain how the bot got control.

    If nobody was active before, the user's own message made the bot active, unless the
    platform gives a reason.
    """
    if former.who is Who.BOT or state.holder.who is not Who.BOT:
        return False
    return former.who is Who.OTHER or fact.reason is not None


def _outweighs_event(state: Conversation, fact: ControlMoved) -> bool:
    """Return whether the current run, duty or end outweighs a late control event."""
    if state.run and (state.run.began >= fact.at or fact.reason is None):
        return True
    return _owes(state) or (state.ended is not None and fact.at < state.ended.at)


def _react_to_move(draft: Draft, fact: ControlMoved, before: Holder) -> None:
    """React to a new holder: check the control mode, take a handback, or schedule a read."""
    passed_to_bot = draft.state.holder.who is Who.BOT
    by_platform = fact.reason is not None or (passed_to_bot and draft.state.ended is not None)
    if draft.policy.mode.is_contradicted(passed_to_bot=passed_to_bot, by_platform=by_platform):
        _report_mismatch(draft)
    if passed_to_bot:
        _passed_to_bot(draft, fact, before)
    elif fact.active is None and not draft.state.ended and not _has_released(draft.state.duty):
        # The user may have ended the session, and that webhook may be lost.
        draft.set(read_at=draft.now + PROOF_WAIT)


def _passed_to_bot(draft: Draft, fact: ControlMoved, before: Holder) -> None:
    """React to control that was passed to the bot, unless the bot took it itself."""
    if fact.reason is None and _has_taken(draft.state):
        return  # the bot's own pass
    starts.drop(draft, "control was handed to the bot")
    before = _close_returned_pass(draft) or before
    if before.who is Who.OTHER:
        draft.set(elsewhere_at=max(fact.at, draft.state.elsewhere_at or fact.at))
    _handed_to_bot(draft, fact, before)


def _close_returned_pass(draft: Draft) -> Holder | None:
    """Close a pass whose target has given control back to the bot. Return that target as a holder.

    The pass must have worked, although nothing reported it.
    """
    duty = draft.state.duty
    if not duty or duty.action is not Action.PASS or not duty.attempts:
        return None
    draft.close_duty(f"{duty.target} had been given control, shown by a passControl event back to the bot")
    return Holder(Who.OTHER, Integration(duty.target or "", duty.target, duty.target))


def _owes(state: Conversation) -> bool:
    """Return whether the bot owes giving up control."""
    return state.duty is not None and state.duty.is_owed


def _has_taken(state: Conversation) -> bool:
    """Return whether the bot has tried to take control that nobody had."""
    return state.duty is not None and state.duty.action is Action.TAKE and state.duty.attempts > 0 and not state.ended


def _has_released(duty: Duty | None) -> bool:
    """Return whether the platform has accepted a release by the bot."""
    return duty is not None and duty.action is Action.RELEASE and duty.accepted_at is not None


def _report_mismatch(draft: Draft) -> None:
    """Report once per conversation that the platform acts in the other control mode."""
    if not draft.state.mismatch_reported:
        draft.report(
            "mode_mismatch",
            f"the platform does not act as in control mode {draft.policy.mode.name!r}",
        )
        draft.set(mismatch_reported=True)


def _handed_to_bot(draft: Draft, fact: ControlMoved, before: Holder) -> None:
    """Decide what control passed to the bot is for.

    An end, a reason or an agent before the bot make it a handback to close. From anyone
    else, it opens a flow.
    """
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
    """Run the closing flow once for what an agent has finished, or else release."""
    state = draft.state
    if state.run and state.run.purpose is Purpose.CLOSING:
        return
    if draft.policy.closes and not state.duty and state.closing_run is None:
        _begin_handed_back(draft, Purpose.CLOSING, fact)
    else:
        draft.stop_run()
        draft.owe(Action.RELEASE, f"handed back ({fact.reason or 'no reason given'})")


def _begin_handed_back(draft: Draft, purpose: Purpose, fact: ControlMoved) -> None:
    """Begin a flow for a handback, at most once until the user speaks.

    Otherwise two bots could hand over to each other forever.
    """
    if draft.state.handback_at is None:
        draft.start_run(purpose, Opening(OpeningKind.HANDBACK, reason=fact.reason), fact.at)
        # Earlier input is no news, even if a fast clock dated it.
        draft.set(handback_at=max(fact.at, draft.state.spoke_at or fact.at))
        return
    draft.stop_run()
    draft.report(
        "handed_around",
        "control was handed to the bot again, and the user has said nothing in between",
    )
    draft.owe(Action.RELEASE, "handed around")


def control_failed(draft: Draft, fact: ControlFailed) -> None:
    """Count a pass that the platform reports as failed, and retry it or fall back."""
    duty = draft.state.duty
    # Each attempt fails once. Further failures concern an earlier target or someone else's pass.
    if duty and duty.action is Action.PASS and duty.refusals < duty.attempts:
        draft.set_duty(
            refusals=duty.refusals + 1,
            failures=duty.failures + 1,
            next_attempt=draft.now + backoff(max(duty.failures + 1, duty.attempts), draft.state.id),
            last_answer=f"pass failed: {fact.code}",
        )
        duties.fall_back_from_pass(draft)
