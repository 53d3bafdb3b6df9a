"""The objects in events (conversations, users, messages), and the classification of messages.

No code outside `webhooks` compares the platform's strings: it asks `message.is_users_end`,
not for the activity's type.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from webhooks.fields import Id, Maybe, Moment, Object, ObjectOrNone, OpenPart, Part, Text, Texts
from webhooks.wire import identifier

_ENDED_BY_USER = "conversation:endedByUser"
_AGENT_WORKSPACE = "zd:agentWorkspace"
_BUSINESS = "business"
_USER = "user"
_ACTIVITY = "activity"
_AUTOMATION_NAMES = ("Automated Response",)
_AUTOMATION_TYPES = ("csat",)
_WORKSPACE_METADATA = "__zendesk_msg."
_AGENT_ID = "__zendesk_msg.agent.id"
_RULE_PREFIX = "__"  # an agent id with this prefix stands for a rule, such as "__trigger"


class SwitchboardIntegration(Part):
    """An integration that can be active. Identified by `id` or `name`, never `integrationId`.

    Attributes:
        id: the integration's id, else its name. Empty if neither is valid: an integration
            is active, but it is unknown which.
    """

    id: str
    name: Maybe[str] = None
    integration_type: Maybe[str] = None

    @model_validator(mode="before")
    @classmethod
    def _known_by(cls, value: object) -> object:
        """Fall back to the name, then to "": an invalid integration must not look like nobody."""
        posted = value if isinstance(value, dict) else {}
        id_ = identifier(posted.get("id")) or identifier(posted.get("name")) or ""
        return {**posted, "id": id_}

    @property
    def is_known(self) -> bool:
        """Whether the event identifies the integration."""
        return bool(self.id)


class Conversation(Part):
    """A conversation, with the integration that was active at the time of the event.

    Attributes:
        active_switchboard_integration: None if nobody is active, which proves a release. An
            invalid value becomes an integration that is not `is_known`.
        brand_id: the brand, in accounts with several.
        participants: the participating users; usually absent.
    """

    id: Id
    type: Text = ""
    metadata: Object[dict[str, Any]] = Field(default_factory=dict)
    active_switchboard_integration: SwitchboardIntegration | None = None
    brand_id: Maybe[Id] = None
    participants: Maybe[list[Any]] = None


class User(OpenPart):
    """An end user. `profile` (givenName, email, locale, …) and `metadata` are as posted."""

    id: Id
    external_id: Maybe[Id] = None
    authenticated: Maybe[bool] = None
    profile: Object[dict[str, Any]] = Field(default_factory=dict)
    metadata: Object[dict[str, Any]] = Field(default_factory=dict)


class Author(Part):
    """The author of a message or an activity. `type` is empty if absent."""

    type: Text = ""
    subtypes: Texts = Field(default_factory=list)
    user_id: Maybe[Id] = None
    display_name: Maybe[str] = None
    user: Maybe[User] = None

    @property
    def is_user(self) -> bool:
        """Whether the author is the end user."""
        return self.type == _USER

    @property
    def is_business(self) -> bool:
        """Whether the author is a bot, an agent, or the platform itself."""
        return self.type == _BUSINESS

    @property
    def user_ids(self) -> set[str]:
        """The ids of the author as an end user; an author of unknown type may be one."""
        if self.is_business:
            return set()
        return {id_ for id_ in (self.user_id, self.user.id if self.user else None) if id_}


class Source(Part):
    """The source of a message or event: the type and id of a channel or integration."""

    type: Text = ""
    integration_id: Maybe[Id] = None


class Activity(Part):
    """The content of a system message. `type` is empty if it is invalid."""

    type: Text = ""
    data: Object[dict[str, Any]] = Field(default_factory=dict)


class Content(OpenPart):
    """The content of a message.

    `model_extra` has the fields of other types (`mediaUrl`, `coordinates`, `fields`, …).
    """

    type: Text = ""
    text: Maybe[str] = None
    payload: Maybe[str] = None


class Message(Part):
    """A message from the end user, an agent, this bot, or the platform (an activity).

    Attributes:
        id: None if invalid: the end of a conversation counts even without an id.
    """

    id: Maybe[Id] = None
    received: Moment = None
    author: Object[Author] = Field(default_factory=Author)
    content: Object[Content] = Field(default_factory=Content)
    source: Maybe[Source] = None
    activity: ObjectOrNone[Activity] = None
    metadata: Object[dict[str, Any]] = Field(default_factory=dict)

    @property
    def is_activity(self) -> bool:
        """Whether this is a system message that nobody wrote."""
        return self.activity is not None or _ACTIVITY in self.author.subtypes

    @property
    def is_users_end(self) -> bool:
        """Whether the end user ended the conversation, whoever the author (docs/platform.md, 3)."""
        return self.activity is not None and self.activity.type == _ENDED_BY_USER

    @property
    def may_be_end(self) -> bool:
        """Whether this is an activity of unknown type, to be read back (docs/platform.md, 3)."""
        return self.is_activity and not (self.activity and self.activity.type)

    @property
    def is_from_user(self) -> bool:
        """Whether the end user wrote it."""
        return self.author.is_user and not self.is_activity

    @property
    def is_from_agent(self) -> bool:
        """Whether a person wrote it in the agent workspace, not a trigger or another automation."""
        is_workspace = self.author.is_business and self._is_from_workspace
        return is_workspace and not self.is_activity and not self._is_automated

    @property
    def is_of_people(self) -> bool:
        """Whether its time may come from the clock of a user's device or an agent workspace."""
        return self.author.is_user or self.is_activity or self._is_from_workspace

    @property
    def _is_from_workspace(self) -> bool:
        return self.source is not None and self.source.type.startswith(_AGENT_WORKSPACE)

    @property
    def _is_automated(self) -> bool:
        """Whether a rule wrote it rather than a person, going by the workspace's metadata.

        The workspace names the agent's id, or a placeholder such as "__trigger" for a rule.
        Without such metadata, a person is assumed: talking over an agent is worse than
        yielding to a rule.
        """
        if agent := self.metadata.get(_AGENT_ID):
            return str(agent).startswith(_RULE_PREFIX)
        by_workspace = any(key.startswith(_WORKSPACE_METADATA) for key in self.metadata)
        named = self.author.display_name in _AUTOMATION_NAMES
        return by_workspace or named or self.metadata.get("type") in _AUTOMATION_TYPES


class Postback(Part):
    """A click on a postback button."""

    payload: Maybe[str] = None
    metadata: Object[dict[str, Any]] = Field(default_factory=dict)


class UserActivity(Activity):
    """An author's activity other than a message: reading or typing."""

    author: Object[Author] = Field(default_factory=Author)


class Failure(Part):
    """The reason for a failure. `code` is empty if absent."""

    code: Text = ""


class MergedUsers(Part):
    """Two merged users."""

    surviving: User
    discarded: User


class MergedConversations(Part):
    """Two merged conversations."""

    surviving: Conversation
    discarded: Conversation
