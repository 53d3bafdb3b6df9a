"""The records of the model, without behaviour."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from hashlib import sha256
from typing import Any, Literal

from pydantic import Base64Bytes

Json = dict[str, Any]
"""A JSON object of the API."""

IdSource = Callable[[], str]
"""Returns a new id on each call: 24 hexadecimal digits, ascending."""

AGENT_WORKSPACE = "zd:agentWorkspace"
ANSWER_BOT = "zd:answerBot"
CUSTOM = "custom"
WEB = "web"


class Ids:
    """The usual id source: ascending ids, reproducible for the same salt.

    Args:
        salt: keeps the ids of different runs apart, since a database may outlive a sandbox.

    Attributes:
        salt: may be changed between two ids.
        made: number of ids created so far.
    """

    def __init__(self, salt: int = 0) -> None:
        self.salt = salt
        self.made = 0

    def __call__(self) -> str:
        """Return the next id."""
        self.made += 1
        return f"{self.salt & 0xFFFFFFFF:08x}{self.made:016x}"


def related_id(*of: str) -> str:
    """Derive a stable id from other ids, for objects that are not stored."""
    return sha256(":".join(of).encode()).hexdigest()[:24]


def iso(moment: datetime) -> str:
    """A time in the platform's format: UTC, milliseconds, Z."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class SwitchboardIntegration:
    """A link between the switchboard and an integration; it can be active or pending."""

    id: str
    name: str
    integration_id: str
    integration_type: str
    next_id: str | None = None
    deliver_standby_events: bool = True
    message_history_count: int = 10


@dataclass(frozen=True, slots=True)
class Integration:
    """An integration of the app: a channel (`web`, …), first-party (`zd:…`), or custom.

    Attributes:
        properties: a channel's configuration, without its secrets.
    """

    id: str
    type: str
    display_name: str | None = None
    default_responder_id: str | None = None
    properties: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Webhook:
    """The destination of an integration's events. No triggers means no events."""

    id: str
    integration_id: str
    target: str
    triggers: tuple[str, ...]
    secret: str
    include_full_user: bool = False
    include_full_source: bool = False


@dataclass(frozen=True, slots=True)
class User:
    """An end user.

    Attributes:
        name: the given name; empty if unknown.
        profile: the rest of the profile, with the API's names.
        authenticated: whether the user has signed in.
    """

    id: str
    name: str
    external_id: str | None = None
    profile: Json = field(default_factory=dict)
    metadata: Json = field(default_factory=dict)
    signed_up_at: str | None = None
    to_be_retained: bool | None = None
    authenticated: bool = False


@dataclass(frozen=True, slots=True)
class Client:
    """A user's link to a channel, which carries messages to them."""

    id: str
    user_id: str
    type: str
    status: Literal["active", "pending"]
    integration_id: str | None = None
    external_id: str | None = None
    linked_at: datetime | None = None
    last_seen: datetime | None = None


@dataclass(frozen=True, slots=True)
class Attachment:
    """An uploaded file.

    Attributes:
        path: its path below the API's address.
        conversation_id: the conversation that it is deleted with; empty for none.
        for_message: whether it is deleted with its message.
    """

    path: str
    media_type: str
    content: Base64Bytes
    conversation_id: str = ""
    for_message: bool = False


@dataclass(frozen=True, slots=True)
class Message:
    """A message as the API returns it, except for `actor`, the true sender."""

    id: str
    received: datetime
    author: Json
    content: Json
    source: Json
    actor: str
    metadata: Json | None = None
    activity: Json | None = None

    @property
    def text(self) -> str:
        """The text, if it has one."""
        return str(self.content.get("text", ""))


@dataclass(slots=True)
class Conversation:
    """A conversation. `active` and `pending` are ids of switchboard integrations.

    Attributes:
        user_id: its user; empty in a group (`sdkGroup`).
        group: ids of a group's participants.
        details: `displayName`, `description` and `iconUrl`, if given.
        last_read: when each participant last read it, by user id.
    """

    id: str
    user_id: str
    channel_id: str
    created_at: datetime
    is_default: bool
    active: str | None = None
    pending: str | None = None
    ended_at: datetime | None = None
    last_updated_at: datetime | None = None
    metadata: Json = field(default_factory=dict)
    messages: list[Message] = field(default_factory=list)
    type: Literal["personal", "sdkGroup"] = "personal"
    group: list[str] = field(default_factory=list)
    details: Json = field(default_factory=dict)
    last_read: dict[str, datetime] = field(default_factory=dict)
    business_last_read: datetime | None = None

    @property
    def participants(self) -> tuple[str, ...]:
        """Ids of the participating users."""
        return (self.user_id,) if self.type == "personal" else tuple(self.group)


class TicketStatus(StrEnum):
    """The status of a ticket."""

    OPEN = "open"
    SOLVED = "solved"
    CLOSED = "closed"


@dataclass(slots=True)
class Ticket:
    """A ticket of the agent workspace.

    Attributes:
        number: the number shown to agents.
        conversation_id: the conversation that it belongs to.
        fields: custom fields by id, filled from `dataCapture.ticketField.<id>`.
        system_fields: other fields of `dataCapture.systemField.…`: requester name,
            e-mail, tags, priority.
        message_ids: the messages copied into it when it was opened (from
            `first_message_id` on, or else the newest 10).
        opened_after_end: opened after the user's end, so nobody needs it.
        session_over: its messaging session has ended; control that comes back opens a
            new ticket.
    """

    number: int
    conversation_id: str
    opened_at: datetime
    fields: Json = field(default_factory=dict)
    system_fields: Json = field(default_factory=dict)
    message_ids: tuple[str, ...] = ()
    status: TicketStatus = TicketStatus.OPEN
    opened_after_end: bool = False
    session_over: bool = False


@dataclass(frozen=True, slots=True)
class Caller:
    """An API caller: a key's owner. `integration_id` is set for scope `integration`."""

    key_id: str
    scope: Literal["integration", "app"]
    integration_id: str | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event to be sent to one integration."""

    integration_id: str
    event: Mapping[str, Any]
