"""The payloads of events, with the conversation and the users of each."""

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
    """The payload of an event. By default it has no conversation and no user."""

    @property
    def conversation_id(self) -> str | None:
        """The id of the event's only conversation."""
        return None

    @property
    def user_ids(self) -> set[str]:
        """The ids of the end users in the payload."""
        return set()


class InConversation(Payload):
    """A payload with a conversation, which names the active integration."""

    conversation: Conversation

    @property
    def conversation_id(self) -> str:
        """The id of the conversation."""
        return self.conversation.id


class WithUser(InConversation):
    """A payload with a conversation and, usually, one of its users."""

    user: Maybe[User] = None
    source: Maybe[Source] = None

    @property
    def user_ids(self) -> set[str]:
        """The id of the user, if one is named."""
        return {self.user.id} if self.user else set()


class CreationPayload(WithUser):
    """The origin of a conversation."""

    creation_reason: Maybe[str] = None

    @property
    def widget_opened(self) -> bool:
        """Whether the user opened the widget without having written yet (docs/platform.md, 4)."""
        return self.creation_reason == _START_CONVERSATION


class MessagePayload(InConversation):
    """A message from anyone."""

    message: Message

    @property
    def user_ids(self) -> set[str]:
        """The author, unless that is the business."""
        return self.message.author.user_ids


class PostbackPayload(WithUser):
    """A click on a postback button."""

    postback: Object[Postback] = Field(default_factory=Postback)


class ReferralPayload(WithUser):
    """The referral, as posted."""

    referral: Object[dict[str, Any]] = Field(default_factory=dict)


class ActivityPayload(InConversation):
    """A read receipt or a typing indicator."""

    activity: Object[UserActivity] = Field(default_factory=UserActivity)

    @property
    def user_ids(self) -> set[str]:
        """The author, unless that is the business."""
        return self.activity.author.user_ids


class DeliveryPayload(WithUser):
    """The delivery status of a message. `is_final_event`: no further status will follow."""

    message: Object[MessageReference] = Field(default_factory=MessageReference)
    destination: Maybe[Source] = None
    is_final_event: Maybe[bool] = None


class DeliveryFailurePayload(DeliveryPayload):
    """The reason why a message did not reach the user."""

    error: Object[Failure] = Field(default_factory=Failure)


class ClientPayload(Payload):
    """A user's device or channel, as posted. `conversation` is set if it was linked in one."""

    conversation: Maybe[Conversation] = None
    user: Maybe[User] = None
    client: Object[dict[str, Any]] = Field(default_factory=dict)
    reason: Maybe[str] = None

    @property
    def conversation_id(self) -> str | None:
        """The id of the conversation where the channel was linked."""
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
    """Two merged users and, if both had one, their merged conversations."""

    merged_users: MergedUsers
    merged_conversations: Maybe[MergedConversations] = None
    reason: Maybe[str] = None

    @property
    def user_ids(self) -> set[str]:
        """Both users' ids."""
        return {self.merged_users.surviving.id, self.merged_users.discarded.id}


class ControlPayload(InConversation):
    """The active integration after control moved. The previous one supplied `metadata`."""

    reason: Maybe[str] = None
    metadata: Object[dict[str, Any]] = Field(default_factory=dict)


class ControlFailurePayload(ControlPayload):
    """The reason why control did not move."""

    error: Object[Failure] = Field(default_factory=Failure)
