"""What each kind of event tells: the payloads, and which conversation and users they show."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from webhooks.fields import Maybe, Object, Part
from webhooks.messages import (
    Conversation,
    Failure,
    MergedConversations,
    MergedUsers,
    Message,
    MessageReference,
    Postback,
    Source,
    User,
    UserActivity,
)

_START_CONVERSATION = "startConversation"


class Payload(Part):
    """What an event tells. Belongs to no conversation and shows no user unless it says so."""

    @property
    def conversation_id(self) -> str | None:
        """The one conversation that the event belongs to."""
        return None

    @property
    def user_ids(self) -> set[str]:
        """The ids of the end users that are shown."""
        return set()


class InConversation(Payload):
    """Belongs to a conversation, and tells who is active in it."""

    conversation: Conversation

    @property
    def conversation_id(self) -> str:
        """The id of the conversation."""
        return self.conversation.id


class WithUser(InConversation):
    """Belongs to a conversation and, mostly, to one of its users."""

    user: Maybe[User] = None
    source: Maybe[Source] = None

    @property
    def user_ids(self) -> set[str]:
        """The id of the user, if one is named."""
        return {self.user.id} if self.user else set()


class CreationPayload(WithUser):
    """How a conversation came to be."""

    creation_reason: Maybe[str] = None

    @property
    def widget_opened(self) -> bool:
        """The widget was opened, and nobody has written yet (docs/platform.md, 4)."""
        return self.creation_reason == _START_CONVERSATION


class MessagePayload(InConversation):
    """A message, whoever wrote it."""

    message: Message

    @property
    def user_ids(self) -> set[str]:
        """The author, unless that is the business."""
        return self.message.author.user_ids


class PostbackPayload(WithUser):
    """A click on a postback button."""

    postback: Object[Postback] = Field(default_factory=Postback)


class ReferralPayload(WithUser):
    """What brought the user here, as posted."""

    referral: Object[dict[str, Any]] = Field(default_factory=dict)


class ActivityPayload(InConversation):
    """Reading or typing."""

    activity: Object[UserActivity] = Field(default_factory=UserActivity)

    @property
    def user_ids(self) -> set[str]:
        """The author, unless that is the business."""
        return self.activity.author.user_ids


class DeliveryPayload(WithUser):
    """How far a message of the business has come. `is_final_event`: no later event will tell of it."""

    message: Object[MessageReference] = Field(default_factory=MessageReference)
    destination: Maybe[Source] = None
    is_final_event: Maybe[bool] = None


class DeliveryFailurePayload(DeliveryPayload):
    """Why a message of the business did not reach the user."""

    error: Object[Failure] = Field(default_factory=Failure)


class ClientPayload(Payload):
    """A user's device or channel, as posted. `conversation` only where the channel was linked in one."""

    conversation: Maybe[Conversation] = None
    user: Maybe[User] = None
    client: Object[dict[str, Any]] = Field(default_factory=dict)
    reason: Maybe[str] = None

    @property
    def conversation_id(self) -> str | None:
        """The id of the conversation in which the channel was linked."""
        return self.conversation.id if self.conversation else None

    @property
    def user_ids(self) -> set[str]:
        """The id of the user, if one is named."""
        return {self.user.id} if self.user else set()


class UserPayload(Payload):
    """A user."""

    user: User
    reason: Maybe[str] = None

    @property
    def user_ids(self) -> set[str]:
        """The id of the user."""
        return {self.user.id}


class MergePayload(Payload):
    """Two users became one and, if both had one, their conversations too."""

    merged_users: MergedUsers
    merged_conversations: Maybe[MergedConversations] = None
    reason: Maybe[str] = None

    @property
    def user_ids(self) -> set[str]:
        """Both users' ids."""
        return {self.merged_users.surviving.id, self.merged_users.discarded.id}


class ControlPayload(InConversation):
    """Who is active after control has moved; `metadata` is what the one that moved it sent along."""

    reason: Maybe[str] = None
    metadata: Object[dict[str, Any]] = Field(default_factory=dict)


class ControlFailurePayload(ControlPayload):
    """Why control has not moved."""

    error: Object[Failure] = Field(default_factory=Failure)
