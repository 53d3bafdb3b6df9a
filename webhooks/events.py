"""Typed events of API v2. `parse_event` turns a posted event into one of the `Event` classes.

Parsing is lenient: unknown keys, values and types are no error. It is strict only about ids
and about the active integration, because decisions depend on them. `event_user_ids` and
`event_time` work on any event.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal, TypeAlias, get_args

from pydantic import Field, ValidationError

from webhooks import wire
from webhooks.fields import Id, Moment, Object, Part, Text
from webhooks.payloads import (
    ActivityPayload,
    ClientPayload,
    ControlFailurePayload,
    ControlPayload,
    CreationPayload,
    InConversation,
    MergePayload,
    MessagePayload,
    PostbackPayload,
    ReferralPayload,
    UserPayload,
    WithUser,
)

REMOVAL = "user:remove"
"""The event type for a removed user. It is processed before all others."""

ABOUT_PEOPLE = frozenset({REMOVAL, "user:merge"})
"""Event types that affect every conversation of a user."""

_SWITCHBOARD = "switchboard:"


class InvalidEventError(ValueError):
    """Not an event, or a required field is missing. The message names fields, never values."""


class Reason(StrEnum):
    """Reasons for which the platform moves control. `payload.reason` may hold other values too."""

    TICKET_CLOSED = "ticketClosed"
    TRANSFER_TO_EMAIL = "transferToEmail"


def parse_event(event: bytes | Mapping[str, object]) -> Event:
    """Parse a posted event.

    Args:
        event: one entry of a delivery's `events`, as JSON bytes or as a decoded object.

    Raises:
        InvalidEventError: the event can't be parsed.
    """
    posted = _object(event)
    posted_type = posted.get("type")
    if not isinstance(posted_type, str):
        raise InvalidEventError("the event has no type")
    kind = _CLASSES.get(posted_type, UnknownEvent)
    try:
        ids = {"id": wire.event_id(posted), "saidId": wire.said_id(posted)}
        return kind.model_validate({**posted, **ids, "type": wire.event_type(posted)})
    except ValidationError as error:
        # Only names of classes and fields: pydantic's messages quote no input.
        wrong = "; ".join(
            f"{'.'.join(map(str, one['loc']))}: {one['msg']}"
            for one in error.errors(include_url=False, include_context=False, include_input=False)
        )
        raise InvalidEventError(f"wrong in {kind.__name__}: {wrong}") from None
    except ValueError:
        raise InvalidEventError("the event has no id, and its content is not JSON") from None


def event_user_ids(event: Event) -> set[str]:
    """Return the ids of the end users in the event, whose data `user:remove` erases."""
    if isinstance(event, UnknownEvent):
        user = event.payload.get("user")
        shown = wire.identifier(user.get("id")) if isinstance(user, Mapping) else None
        return {shown} if shown else set()
    return event.payload.user_ids


def event_time(event: Event) -> datetime | None:
    """Return the event's time by the platform's clock.

    That is `created_at` or, for a message without one, the time the platform received it.
    """
    if event.created_at is None and isinstance(event, ConversationMessage):
        return event.payload.message.received
    return event.created_at


class PlatformEvent(Part):
    """The fields that all events share.

    Attributes:
        id: the platform's id, or a hash of the content if it sent none (`wire.event_id`).
        created_at: the time of the event, if the platform sent one.
        said_id: the same for every event about one message or tap (`wire.said_id`).
    """

    id: Id
    created_at: Moment = None
    said_id: str | None = None


class ConversationCreate(PlatformEvent):
    """A conversation was created. Its default responder is active at once."""

    type: Literal["conversation:create"]
    payload: CreationPayload

    @property
    def widget_opened(self) -> bool:
        """Whether the user opened the widget without having written yet."""
        return self.payload.widget_opened


class ConversationJoin(PlatformEvent):
    """A user joined."""

    type: Literal["conversation:join"]
    payload: WithUser


class ConversationLeave(PlatformEvent):
    """A user left."""

    type: Literal["conversation:leave"]
    payload: WithUser


class ConversationRemove(PlatformEvent):
    """The conversation was deleted. Stored data about it must be erased."""

    type: Literal["conversation:remove"]
    payload: InConversation


class ConversationMessage(PlatformEvent):
    """A message from anyone, including the bot."""

    type: Literal["conversation:message"]
    payload: MessagePayload


class ConversationPostback(PlatformEvent):
    """The user clicked a postback button."""

    type: Literal["conversation:postback"]
    payload: PostbackPayload


class ConversationRead(PlatformEvent):
    """Someone read the messages."""

    type: Literal["conversation:read"]
    payload: ActivityPayload


class ConversationReferral(PlatformEvent):
    """The user arrived by a link, a code or an ad."""

    type: Literal["conversation:referral"]
    payload: ReferralPayload


class ConversationTyping(PlatformEvent):
    """Someone started or stopped typing."""

    type: Literal["conversation:typing"]
    payload: ActivityPayload


class MessageDelivered(PlatformEvent):
    """A message from the business reached the channel or the user."""

    type: Literal["conversation:message:delivery:channel", "conversation:message:delivery:user"]
    payload: WithUser


class MessageDeliveryFailed(PlatformEvent):
    """A message from the business did not reach the user."""

    type: Literal["conversation:message:delivery:failure"]
    payload: WithUser


class ClientAdd(PlatformEvent):
    """A device or channel was added to a user."""

    type: Literal["client:add"]
    payload: ClientPayload


class ClientRemove(PlatformEvent):
    """A device or channel was removed from a user."""

    type: Literal["client:remove"]
    payload: ClientPayload


class ClientUpdate(PlatformEvent):
    """A user's device or channel changed."""

    type: Literal["client:update"]
    payload: ClientPayload


class UserMerge(PlatformEvent):
    """Two users were merged."""

    type: Literal["user:merge"]
    payload: MergePayload


class UserUpdate(PlatformEvent):
    """A user's data changed."""

    type: Literal["user:update"]
    payload: UserPayload


class UserRemove(PlatformEvent):
    """A user was deleted. Stored data about the person must be erased."""

    type: Literal["user:remove"]
    payload: UserPayload


class ControlPassed(PlatformEvent):
    """Control was passed to the integration that is active now."""

    type: Literal["switchboard:passControl"]
    payload: ControlPayload


class ControlReleased(PlatformEvent):
    """Control was released: nobody is active."""

    type: Literal["switchboard:releaseControl"]
    payload: ControlPayload


class ControlOffered(PlatformEvent):
    """Control was offered to the integration that is pending now."""

    type: Literal["switchboard:offerControl"]
    payload: ControlPayload


class ControlAccepted(PlatformEvent):
    """The pending integration accepted control and is active now."""

    type: Literal["switchboard:acceptControl"]
    payload: ControlPayload


class ControlPassFailed(PlatformEvent):
    """A pass failed, although the request may have been answered 200."""

    type: Literal["switchboard:passControl:failure"]
    payload: ControlFailurePayload


class ControlOfferFailed(PlatformEvent):
    """An offer of control failed."""

    type: Literal["switchboard:offerControl:failure"]
    payload: ControlFailurePayload


class ControlAcceptFailed(PlatformEvent):
    """Accepting control failed."""

    type: Literal["switchboard:acceptControl:failure"]
    payload: ControlFailurePayload


class UnknownEvent(PlatformEvent):
    """An event of an unknown type; `payload` is as posted."""

    type: Text
    payload: Object[dict[str, Any]] = Field(default_factory=dict)

    @property
    def may_move_control(self) -> bool:
        """Whether this is a new kind of switchboard event. Only a read shows its effect."""
        return self.type.startswith(_SWITCHBOARD)


KnownEvent: TypeAlias = (
    ConversationCreate
    | ConversationJoin
    | ConversationLeave
    | ConversationRemove
    | ConversationMessage
    | ConversationPostback
    | ConversationRead
    | ConversationReferral
    | ConversationTyping
    | MessageDelivered
    | MessageDeliveryFailed
    | ClientAdd
    | ClientRemove
    | ClientUpdate
    | UserMerge
    | UserUpdate
    | UserRemove
    | ControlPassed
    | ControlReleased
    | ControlOffered
    | ControlAccepted
    | ControlPassFailed
    | ControlOfferFailed
    | ControlAcceptFailed
)

Event: TypeAlias = KnownEvent | UnknownEvent

_CLASSES: dict[str, type[Event]] = {
    name: kind for kind in get_args(KnownEvent) for name in get_args(kind.model_fields["type"].annotation)
}


EVENT_TYPES = frozenset(_CLASSES)
"""The event types with a class in this module."""


def _object(event: bytes | Mapping[str, object]) -> Mapping[str, object]:
    posted: object = event
    if isinstance(event, bytes):
        try:
            posted = wire.read_json(event)
        except ValueError as error:
            raise InvalidEventError(f"the event is not JSON: {error}") from None
    if not isinstance(posted, Mapping):
        raise InvalidEventError("the event is not an object")
    return posted
