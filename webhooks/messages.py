"""The things that events tell of: conversations, users, messages. Here it is decided what a message is.

Outside `webhooks` nothing compares the platform's strings: ask a message `is_users_end`, not its activity's type.
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
_NO_PERSON = "__"  # what stands in for an agent's id begins with this, as "__trigger" does


class SwitchboardIntegration(Part):
    """One of the parties that can hold a conversation. Known by `id` or `name`; never by `integrationId`.

    Attributes:
        id: the name where an event names no id. Empty if neither can be read: somebody, but nobody knows who.
    """

    id: str
    name: Maybe[str] = None
    integration_type: Maybe[str] = None

    @model_validator(mode="before")
    @classmethod
    def _known_by(cls, value: object) -> object:
        """Fall back to the name, then to nothing: an integration that can't be read must not look like nobody."""
        posted = value if isinstance(value, dict) else {}
        return {**posted, "id": identifier(posted.get("id")) or identifier(posted.get("name")) or ""}

    @property
    def is_known(self) -> bool:
        """Does the event tell which integration it is?"""
        return bool(self.id)


class Conversation(Part):
    """A conversation, and who was active in it when the event was made.

    Attributes:
        active_switchboard_integration: None: nobody, which is the proof of a release. An integration that can't be read
            is there, and not `is_known`.
        brand_id: the brand, where there are several.
        participants: the users who take part; mostly not told.
    """

    id: Id
    type: Text = ""
    metadata: Object[dict[str, Any]] = Field(default_factory=dict)
    active_switchboard_integration: SwitchboardIntegration | None = None
    brand_id: Maybe[Id] = None
    participants: Maybe[list[Any]] = None


class User(OpenPart):
    """An end user. `profile` (givenName, email, locale…) and `metadata` are as posted."""

    id: Id
    external_id: Maybe[Id] = None
    authenticated: Maybe[bool] = None
    profile: Object[dict[str, Any]] = Field(default_factory=dict)
    metadata: Object[dict[str, Any]] = Field(default_factory=dict)


class Author(Part):
    """Who wrote a message or did something. `type` is empty where it is not told."""

    type: Text = ""
    subtypes: Texts = Field(default_factory=list)
    user_id: Maybe[Id] = None
    display_name: Maybe[str] = None
    user: Maybe[User] = None

    @property
    def is_user(self) -> bool:
        """The end user."""
        return self.type == _USER

    @property
    def is_business(self) -> bool:
        """A bot, an agent, or the platform itself."""
        return self.type == _BUSINESS

    @property
    def user_ids(self) -> set[str]:
        """The ids of an end user that are shown here; an author of unknown type may be one."""
        if self.is_business:
            return set()
        return {shown for shown in (self.user_id, self.user.id if self.user else None) if shown}


class Source(Part):
    """Where something came from: a channel's or an integration's type, and its id."""

    type: Text = ""
    integration_id: Maybe[Id] = None


class Activity(Part):
    """What a system message tells. `type` is empty where it can't be read."""

    type: Text = ""
    data: Object[dict[str, Any]] = Field(default_factory=dict)


class Content(OpenPart):
    """What a message says. What belongs to other types (`mediaUrl`, `coordinates`, `fields`…) is in `model_extra`."""

    type: Text = ""
    text: Maybe[str] = None
    payload: Maybe[str] = None


class Message(Part):
    """A message of anybody: the end user, an agent, this bot, or the platform itself (an activity).

    Attributes:
        id: None where it can't be read: an end without it is still an end.
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
        """It is a system message: nobody wrote it."""
        return self.activity is not None or _ACTIVITY in self.author.subtypes

    @property
    def is_users_end(self) -> bool:
        """The end user has ended the conversation, whoever is named as the author (docs/platform.md, 3)."""
        return self.activity is not None and self.activity.type == _ENDED_BY_USER

    @property
    def may_be_end(self) -> bool:
        """An activity that does not tell which: read the message back to find out (docs/platform.md, 3)."""
        return self.is_activity and not (self.activity and self.activity.type)

    @property
    def is_from_user(self) -> bool:
        """The end user wrote it."""
        return self.author.is_user and not self.is_activity

    @property
    def is_from_agent(self) -> bool:
        """A person wrote it in the agent workspace; not a trigger, an away message or a survey."""
        return self.author.is_business and self._is_from_workspace and not self.is_activity and not self._is_automated

    @property
    def is_of_people(self) -> bool:
        """It comes from a user or an agent workspace, or tells what a user did: their clocks may have dated it."""
        return self.author.is_user or self.is_activity or self._is_from_workspace

    @property
    def _is_from_workspace(self) -> bool:
        return self.source is not None and self.source.type.startswith(_AGENT_WORKSPACE)

    @property
    def _is_automated(self) -> bool:
        """No person wrote it, as far as the agent workspace tells.

        It gives the agent's id where there is one, and a stand-in such as "__trigger" where a rule has written. Without
        any metadata of the workspace it is a person's: to talk over an agent is worse than to give way to a rule.
        """
        if agent := self.metadata.get(_AGENT_ID):
            return str(agent).startswith(_NO_PERSON)
        by_workspace = any(key.startswith(_WORKSPACE_METADATA) for key in self.metadata)
        named = self.author.display_name in _AUTOMATION_NAMES
        return by_workspace or named or self.metadata.get("type") in _AUTOMATION_TYPES


class Postback(Part):
    """A click on a postback button."""

    payload: Maybe[str] = None
    metadata: Object[dict[str, Any]] = Field(default_factory=dict)


class UserActivity(Activity):
    """Something that an author did that is no message: reading, typing."""

    author: Object[Author] = Field(default_factory=Author)


class Failure(Part):
    """Why something failed. `code` is empty where it is not told."""

    code: Text = ""


class MergedUsers(Part):
    """Two users that became one."""

    surviving: User
    discarded: User


class MergedConversations(Part):
    """Two conversations that became one."""

    surviving: Conversation
    discarded: Conversation
