"""Translates a platform event into facts about one conversation, in the order they apply."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from bot.control.facts import (
    AgentWrote,
    ControlFailed,
    ControlMoved,
    ControlUndated,
    EndSuspected,
    Fact,
    HolderSeen,
    NotUnderstood,
    PersonRemoved,
    Removed,
    UserEnded,
    UserSpoke,
    WidgetOpened,
)
from bot.control.policy import CLOCKS_DIFFER
from bot.control.state import Input, Integration, OpeningKind
from webhooks.events import (
    ControlAccepted,
    ControlPassed,
    ControlPassFailed,
    ControlReleased,
    ConversationCreate,
    ConversationMessage,
    ConversationPostback,
    ConversationReferral,
    ConversationRemove,
    Event,
    UnknownEvent,
    UserMerge,
    UserRemove,
    event_time,
)
from webhooks.messages import SwitchboardIntegration
from webhooks.payloads import InConversation

AHEAD = timedelta(seconds=1)
"""Maximum lead of the clock that dated an event; beyond it, the event counts as undated."""

_TOLD_BY_TYPE: dict[type[Event], Fact] = {
    ConversationRemove: Removed(),
    UserRemove: PersonRemoved(),
    UserMerge: ControlUndated(),
}
"""Facts of events whose type says everything."""

WAITED = timedelta(minutes=1)
"""An event that waited this long in the inbox is late: later ones may have been lost."""

LATE = timedelta(seconds=2)
"""An event that arrives this long after its time was delayed, or a slow clock dated it."""

OLDEST = timedelta(days=1)
"""An event that claims to be older counts as undated: no delivery takes this long."""


def believable_time(event: Event, received_at: datetime) -> datetime | None:
    """Return when an event happened; None if its time is missing or can't be true.

    Args:
        event: a parsed event.
        received_at: when it arrived, by the bot's clock.
    """
    at = event_time(event)
    return at if at and received_at - OLDEST <= at <= received_at + AHEAD else None


def place_of(event: Event, received_at: datetime) -> datetime:
    """Return the time that orders an event among others: its own, but never after its arrival."""
    return min(believable_time(event, received_at) or received_at, received_at)


def seen_late(arrived: Iterable[tuple[Event, datetime]]) -> Iterator[Fact]:
    """Repeat what events show of the holder if they arrived after a slightly newer event.

    A slow clock may have dated them, so they may be the newer ones.

    Args:
        arrived: events with their arrival times, in order of arrival.
    """
    newest: datetime | None = None
    for event, received_at in arrived:
        at = place_of(event, received_at)
        if newest and newest - CLOCKS_DIFFER <= at < newest:
            yield from (fact for fact in facts_of(event, received_at) if isinstance(fact, HolderSeen))
        newest = max(newest or at, at)


def facts_of(event: Event, received_at: datetime, now: datetime | None = None) -> tuple[Fact, ...]:
    """Return the facts of an event; none if it does not concern control.

    Args:
        event: a parsed event of the conversation.
        received_at: its arrival; replaces the missing time of a message.
        now: when it takes effect; None: on arrival.
    """
    dated = believable_time(event, received_at)
    at = dated or received_at
    late = _is_late(at, received_at, now or received_at)
    if told := _TOLD_BY_TYPE.get(type(event)):
        return (told,)
    match event:
        case ControlPassed() | ControlAccepted() | ControlReleased():
            return (_control_moved(event, dated, late),)
        case ControlPassFailed():
            return (*_holder_seen(event, dated, late), ControlFailed(at, event.payload.error.code))
        case ConversationMessage() | ConversationPostback() | ConversationReferral():
            return _of_people(event, at, dated, late)
        case ConversationCreate() if event.widget_opened and dated:
            return (*_holder_seen(event, dated, late), WidgetOpened(Input(event.id, dated, OpeningKind.CREATED)))
        case UnknownEvent() if event.may_move_control:
            return (NotUnderstood(),)
        case _:
            return _holder_seen(event, dated, late) if dated else ()


def _is_late(at: datetime, received_at: datetime, now: datetime) -> bool:
    """Return whether an event was delivered late or has waited in the inbox."""
    return received_at - at > LATE or now - received_at > WAITED


def _of_people(
    event: ConversationMessage | ConversationPostback | ConversationReferral,
    at: datetime,
    dated: datetime | None,
    late: bool,
) -> tuple[Fact, ...]:
    """Return the facts of what somebody said or tapped."""
    if isinstance(event, ConversationMessage):
        seen = _holder_seen(event, dated, late, apart=event.payload.message.is_of_people)
        return (*seen, *_message(Input(event.id, at, said_id=event.said_id), event, late))
    kind = OpeningKind.POSTBACK if isinstance(event, ConversationPostback) else OpeningKind.REFERRAL
    spoken = Input(event.id, at, kind, event.said_id)
    return (*_holder_seen(event, dated, late, apart=True), UserSpoke(spoken, _active_in(event), late))


def _control_moved(
    event: ControlPassed | ControlAccepted | ControlReleased, dated: datetime | None, late: bool
) -> Fact:
    """Return the fact of a control event; undated without a time or a named holder."""
    released = isinstance(event, ControlReleased)
    active = None if released else event.payload.conversation.active_switchboard_integration
    if not released and (active is None or not active.is_known):
        return ControlUndated(reason=event.payload.reason, untold=True)
    if dated is None:
        return ControlUndated(integration_of(active), event.payload.reason)
    return ControlMoved(dated, integration_of(active), event.payload.reason, late)


def _holder_seen(
    event: Event,
    dated: datetime | None,
    late: bool,
    *,
    apart: bool = False,
) -> tuple[Fact, ...]:
    """Return what an event shows of the holder; without a time, a request for a read."""
    payload = event.payload
    if not isinstance(payload, InConversation):
        return ()
    if dated is None:
        return (ControlUndated(),)
    active = payload.conversation.active_switchboard_integration
    if active and not active.is_known:
        return (NotUnderstood(),)
    return (HolderSeen(dated, integration_of(active), late, apart),)


def _active_in(
    event: ConversationMessage | ConversationPostback | ConversationReferral,
) -> Integration | None:
    """Return the active integration that an event shows beside the user's input."""
    active = event.payload.conversation.active_switchboard_integration
    return integration_of(active) if active and active.is_known else None


def _message(spoken: Input, event: ConversationMessage, late: bool) -> tuple[Fact, ...]:
    """Return the fact of a message by its author: end, suspected end, user or agent."""
    message = event.payload.message
    if message.is_users_end:
        return (UserEnded(spoken.at, message.id, late),)
    if message.may_be_end:
        return (EndSuspected(spoken.at),)
    if message.is_from_user:
        return (UserSpoke(spoken, _active_in(event), late),)
    if message.is_from_agent:
        return (AgentWrote(spoken.at, message.source.type if message.source else ""),)
    return ()


def integration_of(active: SwitchboardIntegration | None) -> Integration | None:
    """Convert the platform's `activeSwitchboardIntegration`."""
    return Integration(active.id, active.name, active.integration_type) if active else None
