"""The rules of control: `step(state, fact, now, policy)` gives the new state, which says what is to be done.

A fact is first taken in as knowledge, then the state is settled: whatever is known now decides what is owed, whichever
fact came last. That is why no order of facts can lose an obligation.

    fact -----> taken in by its rule (RULES)        then settled (obligations.settle)
                holders   who is active, and why    a run past its deadline is stopped
                users     words, ends               who is active decides: begin a flow, stop it, release, forget words
                runs      what the flow tells       after an end: closing flow, release, or a read
                starts    flows that nobody's       messages that must not be said are dropped   (outbox)
                          word begins               the duty's next stage: read, act, read       (duties)
                replies   answers and reads         what is to be watched is read, slowly
                outbox    what went out             -> state: what is known, owed, pending, unsent
                                                    -> records: what is to be stored with it

    state.sends_first, sends_at, cleans_at: what the engine tries next, and when
    state.waits_until: when time itself is a fact

Source: the guarantee G1 to G5 in the README; the table "The two control modes" in docs/architecture.md. What the
platform does is in docs/platform.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from datetime import datetime
from operator import attrgetter, is_
from typing import Any

from bot.control import duties, holders, obligations, outbox, replies, runs, starts, users
from bot.control.by_hand import Consequence, prospect
from bot.control.commands import Forget, Record
from bot.control.draft import Draft
from bot.control.facts import (
    AgentWrote,
    Answered,
    CleanedUp,
    CleanUpsOwed,
    ControlFailed,
    ControlMoved,
    ControlUndated,
    ConversationRead,
    EffectLost,
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
    FlowSaid,
    FlowTold,
    FlowWaits,
    HolderSeen,
    NotUnderstood,
    OperatorReleased,
    PersonRemoved,
    Removed,
    TakenUp,
    TimePassed,
    UserEnded,
    UserSpoke,
    WidgetOpened,
)
from bot.control.policy import (
    SOON,
    Policy,
)
from bot.control.state import (
    Action,
    Conversation,
)

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


_SETTLED = attrgetter(*(field.name for field in fields(Conversation) if field.name not in ("unsent", "serial")))


class UnsafeStateError(AssertionError):
    """A rule left a conversation at stake without a time at which it is looked at again: a bug."""


def step(state: Conversation, fact: Fact, now: datetime, policy: Policy) -> tuple[Conversation, tuple[Record, ...]]:
    """What a fact makes of a conversation.

    Args:
        state: the conversation before.
        fact: what happened.
        now: the bot's clock.
        policy: the settings that decisions depend on.

    Returns:
        The new state, which says what is to be done next, and what is to be recorded with it, in order.

    Raises:
        UnsafeStateError: the invariant `is_safe()` does not hold for the new state. Nothing may be stored then.
    """
    draft = Draft(state, now, policy)
    if state.gone and isinstance(fact, _SIGNS_OF_LIFE):
        draft.state = state.begun_anew(now + SOON)  # a read tells
    if not draft.state.gone or isinstance(fact, Removed | PersonRemoved):
        _take_in(draft, fact)
    if _is_settled(state, draft):
        return draft.state, tuple(draft.records)
    obligations.settle(draft)
    draft.close_run()
    if not draft.state.is_safe():
        raise UnsafeStateError(f"{type(fact).__name__} led to an unsafe state of {state.id}")
    return draft.state, tuple(draft.records)


def _is_settled(before: Conversation, draft: Draft) -> bool:
    """Has only the outbox changed, and is the next look still ahead? What was settled before is so still."""
    if not all(map(is_, _SETTLED(before), _SETTLED(draft.state))):
        return False
    due = before.waits_until
    return due is not None and draft.now < due


def _take_in(draft: Draft, fact: Fact) -> None:
    RULES[type(fact)](draft, fact)


def _doubt(draft: Draft, _: NotUnderstood | EndSuspected) -> None:
    draft.doubt()


def _removed(draft: Draft, _: Removed) -> None:
    replies.gone(draft)
    draft.records.append(Forget())


def _person_removed(draft: Draft, _: PersonRemoved) -> None:
    """Forget everything; then a read tells whether the conversation is gone too, or who is active for the others."""
    draft.stop_run()
    draft.close_duty("void: a person was removed, and all about the conversation is forgotten")
    draft.state = draft.state.begun_anew(draft.now + SOON)
    draft.records.append(Forget())


def _operator_released(draft: Draft, fact: OperatorReleased) -> None:
    """By hand, the same road as every other release. What others have is taken only as the operator has confirmed."""
    state, foreseen = draft.state, prospect(draft.state, draft.policy)
    reason = f"released by hand ({fact.by})"
    if foreseen.consequence is Consequence.RELEASE:
        draft.stop_run()
        draft.owe(Action.RELEASE, reason)
        draft.set_duty(next_attempt=draft.now)
    elif foreseen.against and foreseen.against == fact.against:
        duties.owe_against(draft, reason, foreseen.against)
    elif state.ended and not state.ended.proof:
        draft.set_ended(check_at=draft.now)
    else:
        draft.set(read_at=draft.now)


def _time_passed(draft: Draft, _: TimePassed) -> None:
    """Nothing is new: settling does what is due."""


RULES: dict[type[Fact], Callable[[Draft, Any], None]] = {
    HolderSeen: holders.holder_seen,
    ControlMoved: holders.control_moved,
    ControlUndated: holders.control_undated,
    ControlFailed: holders.control_failed,
    NotUnderstood: _doubt,
    EndSuspected: _doubt,
    UserSpoke: users.user_spoke,
    WidgetOpened: users.widget_opened,
    UserEnded: users.user_ended,
    AgentWrote: users.agent_wrote,
    Removed: _removed,
    PersonRemoved: _person_removed,
    FlowBegan: runs.flow_began,
    FlowSaid: outbox.said,
    FlowTold: runs.flow_looks,
    FlowMismatched: runs.flow_mismatched,
    FlowWaits: runs.flow_waits,
    FlowReturned: runs.flow_returned,
    FlowFailed: runs.flow_failed,
    FlowReleased: runs.flow_released,
    FlowReminded: runs.flow_reminded,
    FlowHandedOver: runs.flow_handed_over,
    FlowOrdered: starts.flow_ordered,
    OperatorReleased: _operator_released,
    Answered: replies.answered,
    ConversationRead: replies.conversation_read,
    CleanUpsOwed: outbox.owe_clean_ups,
    CleanedUp: outbox.cleaned_up,
    EffectLost: outbox.lost,
    TakenUp: replies.taken_up,
    TimePassed: _time_passed,
}
"""What takes each kind of fact in. A test holds that none is missing."""
