"""What the platform keeps: the records of the model, without any behaviour."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from hashlib import sha256
from typing import Any, Literal

from pydantic import Base64Bytes

Json = dict[str, Any]
"""A JSON object as the API speaks it."""

IdSource = Callable[[], str]
"""Makes a new id at each call: 24 hexadecimal digits, ascending."""

AGENT_WORKSPACE = "zd:agentWorkspace"
ANSWER_BOT = "zd:answerBot"
CUSTOM = "custom"
WEB = "web"


class Ids:
    """The usual id source: ids that ascend, and that are the same again for the same salt.

    Args:
        salt: told apart by it, two runs never share an id (a database may outlive a sandbox).

    Attributes:
        salt: may be changed between two ids.
        made: how many there are so far.
    """

    def __init__(self, salt: int = 0) -> None:
        self.salt = salt
        self.made = 0

    def __call__(self) -> str:
        """The next id."""
        self.made += 1
        return f"{self.salt & 0xFFFFFFFF:08x}{self.made:016x}"


def related_id(*of: str) -> str:
    """An id that follows from others, for what is not kept but has to be called the same each time."""
    return sha256(":".join(of).encode()).hexdigest()[:24]


def iso(moment: datetime) -> str:
    """A time as the platform writes it: UTC, milliseconds, Z."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class SwitchboardIntegration:
    """A link between the switchboard and an integration: what can be active in a conversation."""

    id: str
    name: str
    integration_id: str
    integration_type: str
    next_id: str | None = None
    deliver_standby_events: bool = True
    message_history_count: int = 10


@dataclass(frozen=True, slots=True)
class Integration:
    """An integration of the app: a channel (`web`, `twilio`, …), a first-party one (`zd:…`) or a custom one.

    Attributes:
        properties: what a channel was configured with, without its secrets.
    """

    id: str
    type: str
    display_name: str | None = None
    default_responder_id: str | None = None
    properties: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where an integration's events go. An empty tuple of triggers means: none."""

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
        name: the given name; empty where nobody has told it.
        profile: the rest of the profile, as the API names it.
        authenticated: has the user signed in?
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
    """A user's link to a channel: how messages reach them there."""

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
        path: where it is fetched, below the API's address.
        conversation_id: the conversation with which it goes away; empty for none.
        for_message: does it go away with the message that shows it?
    """

    path: str
    media_type: str
    content: Base64Bytes
    conversation_id: str = ""
    for_message: bool = False


@dataclass(frozen=True, slots=True)
class Message:
    """A message as the API gives it back. `actor` is the truth about who posted it; the API never shows that."""

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
        """The text, where it has one."""
        return str(self.content.get("text", ""))


@dataclass(slots=True)
class Conversation:
    """A conversation. `active` and `pending` are ids of switchboard integrations.

    Attributes:
        user_id: whose it is; empty for a group's (`sdkGroup`).
        group: ids of a group's participants.
        details: `displayName`, `description` and `iconUrl`, where they were given.
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
        """Ids of the users who take part."""
        return (self.user_id,) if self.type == "personal" else tuple(self.group)


class TicketStatus(StrEnum):
    """How far the agents are with it."""

    OPEN = "open"
    SOLVED = "solved"
    CLOSED = "closed"


@dataclass(slots=True)
class Ticket:
    """A ticket of the agent workspace.

    Attributes:
        number: as agents quote it.
        conversation_id: the conversation that it came from.
        fields: custom fields by their id, filled from `dataCapture.ticketField.<id>`.
        system_fields: the rest of `dataCapture.systemField.…`: requester name, e-mail, tags, priority.
        message_ids: what was copied into it when it was opened (`first_message_id`, else the newest 10).
        opened_after_end: the user had ended the conversation before: a ticket that nobody needs.
        session_over: the messaging session that it came from has ended; control that comes back opens a new ticket.
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
    """Who calls the API: the owner of a key. `integration_id` is set for the scope `integration`."""

    key_id: str
    scope: Literal["integration", "app"]
    integration_id: str | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event on its way to one integration."""

    integration_id: str
    event: Mapping[str, Any]
