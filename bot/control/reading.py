"""From an event of the platform to the facts that it holds for one conversation, in the order in which they apply."""

from __future__ import annotations

from datetime import datetime

from bot.control.facts import (
    AgentWrote,
    ControlFailed,
    ControlMoved,
    ControlUndated,
    EndSuspected,
    Fact,
    HolderSeen,
    PersonRemoved,
    Removed,
    UserEnded,
    UserSpoke,
    WidgetOpened,
)
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
    UserMerge,
    UserRemove,
    event_time,
)
from webhooks.messages import Message, SwitchboardIntegration
from webhooks.payloads import InConversation


def facts_of(event: Event, received_at: datetime) -> tuple[Fact, ...]:
    """The facts of an event; none for what does not concern control.

    Args:
        event: a parsed event of the conversation.
        received_at: when it came in; stands in for the time of a message that carries none of its own.
    """
    dated = event_time(event)
    at = dated or received_at
    match event:
        case ConversationRemove():
            return (Removed(),)
        case UserRemove():
            return (PersonRemoved(),)
        case UserMerge():
            return (ControlUndated(),)
        case ControlPassed() | ControlAccepted() | ControlReleased():
            return (_control_moved(event, dated),)
        case ControlPassFailed():
            return (*_holder_seen(event, dated), ControlFailed(at, event.payload.error.code))
        case ConversationMessage():
            return (*_holder_seen(event, dated), *_message(event.id, event.payload.message, at))
        case ConversationPostback():
            return (*_holder_seen(event, dated), UserSpoke(Input(event.id, at, OpeningKind.POSTBACK)))
        case ConversationReferral():
            return (*_holder_seen(event, dated), UserSpoke(Input(event.id, at, OpeningKind.REFERRAL)))
        case ConversationCreate() if event.widget_opened and dated:
            return (*_holder_seen(event, dated), WidgetOpened(Input(event.id, dated, OpeningKind.CREATED)))
        case _:
            return _holder_seen(event, dated) if dated else ()


def _control_moved(event: ControlPassed | ControlAccepted | ControlReleased, dated: datetime | None) -> Fact:
    released = isinstance(event, ControlReleased)
    active = None if released else integration_of(event.payload.conversation.active_switchboard_integration)
    if dated is None or (active is None and not released):
        return ControlUndated()
    return ControlMoved(dated, active, event.payload.reason)


def _holder_seen(event: Event, dated: datetime | None) -> tuple[Fact, ...]:
    payload = event.payload
    if not isinstance(payload, InConversation):
        return ()
    if dated is None:
        return (ControlUndated(),)
    return (HolderSeen(dated, integration_of(payload.conversation.active_switchboard_integration)),)


def _message(event_id: str, message: Message, at: datetime) -> tuple[Fact, ...]:
    if message.is_users_end:
        return (UserEnded(at, message.id),)
    if message.may_be_end:
        return (EndSuspected(at),)
    if message.is_from_user:
        return (UserSpoke(Input(event_id, at)),)
    if message.is_from_agent:
        return (AgentWrote(at, message.source.type if message.source else ""),)
    return ()


def integration_of(active: SwitchboardIntegration | None) -> Integration | None:
    """The platform's `activeSwitchboardIntegration` in the words of the rules."""
    return Integration(active.id, active.name, active.integration_type) if active else None
