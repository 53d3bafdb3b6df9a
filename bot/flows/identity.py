"""The end user and the conversation of a flow, as far as webhooks describe them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any


@dataclass(frozen=True, slots=True)
class User:
    """The end user. Unknown values are None or empty.

    E-mail, locale, profile and metadata need a webhook that includes the full user
    (`includeFullUser`), as webhooks created by `setup` do. All values were reported to
    the platform by the user, a channel or your site.

    Attributes:
        id: the platform's id.
        name: the display name, or else given name and surname.
        email: the e-mail address of the profile or of an identity.
        external_id: your own id of the user, set by your site at sign-in.
        locale: the language, such as "de" or "en-GB".
        authenticated: whether the user has signed in on your site or at the help center.
        profile: the profile as the platform posted it (`givenName`, `surname`,
            `avatarUrl`, …).
        metadata: custom properties of the user.
    """

    id: str | None = None
    name: str | None = None
    email: str | None = None
    external_id: str | None = None
    locale: str | None = None
    authenticated: bool | None = None
    profile: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Conversation:
    """The conversation. Unknown values are None or empty.

    Attributes:
        id: the platform's id.
        brand_id: the brand's id, in accounts with several brands.
        channel: the user's channel: "web", "ios", "whatsapp", "messenger", ….
        integration_id: id of the channel's integration; tells web widgets apart.
        metadata: the conversation's metadata, such as values set by your site.
        participants: the number of users; None in a group, where webhooks don't say.
    """

    id: str | None = None
    brand_id: str | None = None
    channel: str | None = None
    integration_id: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    participants: int | None = None


_USER = frozenset(one.name for one in fields(User))
_CONVERSATION = frozenset(one.name for one in fields(Conversation))


def user_of(stored: Mapping[str, Any]) -> User:
    """Read a user from the journal. Keys from other versions of the bot are ignored."""
    return User(**{name: value for name, value in stored.items() if name in _USER})


def conversation_of(stored: Mapping[str, Any]) -> Conversation:
    """Read a conversation from the journal. Unknown keys are ignored."""
    return Conversation(**{name: value for name, value in stored.items() if name in _CONVERSATION})
