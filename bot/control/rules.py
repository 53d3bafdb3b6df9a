"""The guarantee's entry point: `step(state, fact, now, policy)` returns the next state.

`step` asserts the invariant `Conversation.is_safe()`: a conversation that the bot holds, or that
has ended without proof of release, always has a time for its next check.

A step has two halves. Its rule (RULES) first applies the fact as knowledge; `obligations.settle`
then derives all obligations from what is known, whichever fact came last. That is why no order of
facts can lose an obligation.

    1. apply the fact
       holders    who is active, and why
       users      input, ends, agents' messages
       runs       progress of the flow
       starts     flows begun by another system or a reminder
       replies    the platform's answers and reads
       outbox     messages and clean-ups

    2. settle
       stop a run past its deadline
       by holder: begin a flow, stop it, release, or drop input
       after an end: closing flow, release, or a read
       drop messages that must not be said      (outbox)
       issue the duty's next stage              (duties)
       read what needs watching

    3. return
       the state: what is known, owed, pending, unsent
       the records to store with it

The engine then tries `state.sends_first` at `sends_at` and clean-ups at `cleans_at`, and sends
`TimePassed` at `waits_until`.

Sources: the guarantee, G1 to G5, in the README; the table "The two control modes" in
docs/architecture.md; the platform's behaviour in docs/platform.md.
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

# Facts that only an existing conversation has, whatever a 404 said. The 404 may come from a key
# without access, or from a replica that lags.
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
    """A bug: a rule left a conversation at stake without a time for its next check."""


def step(
    state: Conversation,
    fact: Fact,
    now: datetime,
    policy: Policy,
) -> tuple[Conversation, tuple[Record, ...]]:
    """Apply a fact to a conversation.

    Args:
        state: the conversation before.
        fact: what happened.
        now: the bot's clock.
        policy: the settings that decisions depend on.

    Returns:
        The new state, which says what to do next, and the records to store with it, in
        order.

    Raises:
        UnsafeStateError: the new state breaks the invariant `is_safe()`. Nothing may be
            stored then.
    """
    draft = Draft(state, now, policy)
    if state.gone and isinstance(fact, _SIGNS_OF_LIFE):
        draft.state = state.begun_anew(now + SOON)  # a read must tell
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
    """Return whether only the outbox changed and no deadline has passed.

    The state was settled before, so it still is; skipping `settle` is cheaper.
    """
    if not all(map(is_, _SETTLED(before), _SETTLED(draft.state))):
        return False
    due = before.waits_until
    return due is not None and draft.now < due


def _take_in(draft: Draft, fact: Fact) -> None:
    """Apply a fact by its rule."""
    RULES[type(fact)](draft, fact)


def _doubt(draft: Draft, _: NotUnderstood | EndSuspected) -> None:
    """Request a read: only a read can tell what this event means."""
    draft.doubt()


def _removed(draft: Draft, _: Removed) -> None:
    """Close the conversation and erase it."""
    replies.gone(draft)
    draft.records.append(Forget())


def _person_removed(draft: Draft, _: PersonRemoved) -> None:
    """Erase everything, then read whether the conversation still exists and who is active."""
    draft.stop_run()
    draft.close_duty("void: a person was removed, and all about the conversation is forgotten")
    draft.state = draft.state.begun_anew(draft.now + SOON)
    draft.records.append(Forget())


def _operator_released(draft: Draft, fact: OperatorReleased) -> None:
    """Release by hand, through the same duty as every other release.

    Control is taken from another integration only as the operator confirmed.
    """
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
    """Change nothing; `settle` then does what is due."""


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
"""The rule of each kind of fact. A test checks that none is missing."""
