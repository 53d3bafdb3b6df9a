"""What each kind of event tells: the payloads, and which users they show."""

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
    """What an event tells. Shows no user unless it says so."""

    @property
    def user_ids(self) -> set[str]:
        """The ids of the end users that are shown."""
        return set()


class InConversation(Payload):
    """Belongs to a conversation, and tells who is active in it."""

    conversation: Conversation


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
    """Two users became one and, if both had one, their conversations too."""

    merged_users: MergedUsers
    merged_conversations: Maybe[MergedConversations] = None

    @property
    def user_ids(self) -> set[str]:
        """Both users' ids."""
        return {self.merged_users.surviving.id, self.merged_users.discarded.id}


class ControlPayload(InConversation):
    """Who is active after control has moved, and why it moved."""

    reason: Maybe[str] = None


class ControlFailurePayload(ControlPayload):
    """Why control has not moved."""

    error: Object[Failure] = Field(default_factory=Failure)
