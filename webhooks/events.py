"""The events of API v2, typed: `parse_event` makes one of the classes of `Event` from what was posted.

Lenient: keys, values and types that are not known are no error. Strict where a decision depends on it: an id, and who
is active. `event_user_ids` and `event_time` answer the same question for any event.
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
"""The type of the event that a person was removed: it goes before all others."""

ABOUT_PEOPLE = frozenset({REMOVAL, "user:merge"})
"""The types of events that concern every conversation of a person."""

_SWITCHBOARD = "switchboard:"


class InvalidEvent(ValueError):
    """It is no event, or lacks what its type needs. The message names the fields, and quotes nothing of the event."""


class Reason(StrEnum):
    """Why the platform moved control by itself; compare with `payload.reason`, which may hold other values too."""

    TICKET_CLOSED = "ticketClosed"
    TRANSFER_TO_EMAIL = "transferToEmail"


def parse_event(event: bytes | Mapping[str, object]) -> Event:
    """Make an event of what was posted.

    Args:
        event: one entry of a delivery's `events`, as JSON or as the object read from it.

    Raises:
        InvalidEvent: it can't be understood.
    """
    posted = _object(event)
    posted_type = posted.get("type")
    if not isinstance(posted_type, str):
        raise InvalidEvent("the event has no type")
    kind = _CLASSES.get(posted_type, UnknownEvent)
    try:
        ids = {"id": wire.event_id(posted), "saidId": wire.said_id(posted)}
        return kind.model_validate({**posted, **ids, "type": wire.event_type(posted)})
    except ValidationError as error:
        # Names of classes and fields only: the texts of pydantic's errors quote no input, and neither does this.
        wrong = "; ".join(
            f"{'.'.join(map(str, one['loc']))}: {one['msg']}"
            for one in error.errors(include_url=False, include_context=False, include_input=False)
        )
        raise InvalidEvent(f"wrong in {kind.__name__}: {wrong}") from None
    except ValueError:
        raise InvalidEvent("the event has no id, and its content is not JSON") from None


def event_user_ids(event: Event) -> set[str]:
    """The ids of the end users that the event shows: their data must go when they are removed."""
    if isinstance(event, UnknownEvent):
        user = event.payload.get("user")
        shown = wire.identifier(user.get("id")) if isinstance(user, Mapping) else None
        return {shown} if shown else set()
    return event.payload.user_ids


def event_time(event: Event) -> datetime | None:
    """When it happened, by the platform's clock: `created_at` or, for a message without, when that was received."""
    if event.created_at is None and isinstance(event, ConversationMessage):
        return event.payload.message.received
    return event.created_at


class PlatformEvent(Part):
    """What all events have.

    Attributes:
        id: made from the content where the platform sent none (`wire.event_id`).
        created_at: when it happened, as far as is told.
        said_id: the same for one message or tap under whichever event id it comes (`wire.said_id`).
    """

    id: Id
    created_at: Moment = None
    said_id: str | None = None


class ConversationCreate(PlatformEvent):
    """A conversation was created; its default responder is active at once."""

    type: Literal["conversation:create"]
    payload: CreationPayload

    @property
    def widget_opened(self) -> bool:
        """The widget was opened, and nobody has written yet."""
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
    """The conversation was deleted; what is stored about it must go."""

    type: Literal["conversation:remove"]
    payload: InConversation


class ConversationMessage(PlatformEvent):
    """A message of anybody, the bot's own included."""

    type: Literal["conversation:message"]
    payload: MessagePayload


class ConversationPostback(PlatformEvent):
    """The user clicked a postback button."""

    type: Literal["conversation:postback"]
    payload: PostbackPayload


class ConversationRead(PlatformEvent):
    """Somebody has read the messages."""

    type: Literal["conversation:read"]
    payload: ActivityPayload


class ConversationReferral(PlatformEvent):
    """The user was brought here by a link, a code or an ad."""

    type: Literal["conversation:referral"]
    payload: ReferralPayload


class ConversationTyping(PlatformEvent):
    """Somebody starts or stops typing."""

    type: Literal["conversation:typing"]
    payload: ActivityPayload


class MessageDelivered(PlatformEvent):
    """A message of the business reached the channel, or the user."""

    type: Literal["conversation:message:delivery:channel", "conversation:message:delivery:user"]
    payload: WithUser


class MessageDeliveryFailed(PlatformEvent):
    """A message of the business did not reach the user."""

    type: Literal["conversation:message:delivery:failure"]
    payload: WithUser


class ClientAdd(PlatformEvent):
    """A user got a new device or channel."""

    type: Literal["client:add"]
    payload: ClientPayload


class ClientRemove(PlatformEvent):
    """A user lost a device or channel."""

    type: Literal["client:remove"]
    payload: ClientPayload


class ClientUpdate(PlatformEvent):
    """A user's device or channel changed."""

    type: Literal["client:update"]
    payload: ClientPayload


class UserMerge(PlatformEvent):
    """Two users became one."""

    type: Literal["user:merge"]
    payload: MergePayload


class UserUpdate(PlatformEvent):
    """A user's data changed."""

    type: Literal["user:update"]
    payload: UserPayload


class UserRemove(PlatformEvent):
    """A user was deleted; what is stored about the person must go."""

    type: Literal["user:remove"]
    payload: UserPayload


class ControlPassed(PlatformEvent):
    """Control went to whoever is active now."""

    type: Literal["switchboard:passControl"]
    payload: ControlPayload


class ControlReleased(PlatformEvent):
    """Control was given up: nobody is active."""

    type: Literal["switchboard:releaseControl"]
    payload: ControlPayload


class ControlOffered(PlatformEvent):
    """Control was offered to whoever is pending now."""

    type: Literal["switchboard:offerControl"]
    payload: ControlPayload


class ControlAccepted(PlatformEvent):
    """The pending integration took control: it is active now."""

    type: Literal["switchboard:acceptControl"]
    payload: ControlPayload


class ControlPassFailed(PlatformEvent):
    """Control could not be passed, although the request may have been answered 200."""

    type: Literal["switchboard:passControl:failure"]
    payload: ControlFailurePayload


class ControlOfferFailed(PlatformEvent):
    """Control could not be offered."""

    type: Literal["switchboard:offerControl:failure"]
    payload: ControlFailurePayload


class ControlAcceptFailed(PlatformEvent):
    """Control could not be accepted."""

    type: Literal["switchboard:acceptControl:failure"]
    payload: ControlFailurePayload


class UnknownEvent(PlatformEvent):
    """An event of a type that is not known here; `payload` is as posted."""

    type: Text
    payload: Object[dict[str, Any]] = Field(default_factory=dict)

    @property
    def may_move_control(self) -> bool:
        """A switchboard event of a new type: only a read tells what it means."""
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
"""The types that are known here."""


def _object(event: bytes | Mapping[str, object]) -> Mapping[str, object]:
    posted: object = event
    if isinstance(event, bytes):
        try:
            posted = wire.read_json(event)
        except ValueError as error:
            raise InvalidEvent(f"the event is not JSON: {error}") from None
    if not isinstance(posted, Mapping):
        raise InvalidEvent("the event is not an object")
    return posted
