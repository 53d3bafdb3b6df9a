"""The payloads of events, with the users of each."""

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
    Postback,
    Source,
    User,
    UserActivity,
)

_START_CONVERSATION = "startConversation"


class Payload(Part):
    """The payload of an event. By default it has no user."""

    @property
    def user_ids(self) -> set[str]:
        """The ids of the end users in the payload."""
        return set()


class InConversation(Payload):
    """A payload with a conversation, which names the active integration."""

    conversation: Conversation


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


class ClientPayload(Payload):
    """A user's device or channel."""

    user: Maybe[User] = None

    @property
    def user_ids(self) -> set[str]:
        """The id of the user, if one is named."""
        return {self.user.id} if self.user else set()


class UserPayload(Payload):
    """A user."""

    user: User

    @property
    def user_ids(self) -> set[str]:
        """The id of the user."""
        return {self.user.id}


class MergePayload(Payload):
    """Two merged users and, if both had one, their merged conversations."""

    merged_users: MergedUsers
    merged_conversations: Maybe[MergedConversations] = None

    @property
    def user_ids(self) -> set[str]:
        """Both users' ids."""
        return {self.merged_users.surviving.id, self.merged_users.discarded.id}


class ControlPayload(InConversation):
    """The active integration after control moved, and the reason."""

    reason: Maybe[str] = None


class ControlFailurePayload(ControlPayload):
    """The reason why control did not move."""

    error: Object[Failure] = Field(default_factory=Failure)
