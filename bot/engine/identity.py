"""Extracts the end user and the conversation from an event, in the form that the journal keeps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from webhooks.events import ConversationMessage, Event
from webhooks.messages import Conversation, Source, User
from webhooks.payloads import InConversation, WithUser

_PERSONAL = "personal"


def user_in(event: Event | None) -> dict[str, Any]:
    """Return the fields of `bot.flows.identity.User` for the event's user."""
    user, _ = _told_by(event)
    author = event.payload.message.author if isinstance(event, ConversationMessage) else None
    shown = author.display_name if author else None
    if user is None:
        return {"id": author.user_id, "name": shown} if author else {"id": None, "name": None}
    names = " ".join(filter(None, (_text(user.profile, "givenName"), _text(user.profile, "surname"))))
    return {
        "id": user.id,
        "name": shown or names or None,
        "email": _text(user.profile, "email") or _identity(user, "email"),
        "external_id": user.external_id,
        "locale": _text(user.profile, "locale"),
        "authenticated": user.authenticated,
        "profile": dict(user.profile),
        "metadata": dict(user.metadata),
    }


def conversation_in(event: Event | None) -> dict[str, Any]:
    """Return the fields of `bot.flows.identity.Conversation`; empty without a conversation."""
    payload = event.payload if event is not None else None
    if not isinstance(payload, InConversation):
        return {}
    user, source = _told_by(event)
    conversation = payload.conversation
    brand = conversation.brand_id or (_text(user.model_extra or {}, "brandId") if user else None)
    return {
        "id": conversation.id,
        "brand_id": brand,
        "channel": source.type or None if source else None,
        "integration_id": source.integration_id if source else None,
        "metadata": dict(conversation.metadata),
        "participants": _participants(conversation),
    }


def _told_by(event: Event | None) -> tuple[User | None, Source | None]:
    """Return the user and the source that an event contains."""
    if isinstance(event, ConversationMessage):
        message = event.payload.message
        return message.author.user, message.source
    payload = event.payload if event is not None else None
    return (payload.user, payload.source) if isinstance(payload, WithUser) else (None, None)


def _participants(conversation: Conversation) -> int | None:
    """Return the number of participants; 1 in a personal conversation without a list."""
    if conversation.participants is not None:
        return len(conversation.participants)
    return 1 if conversation.type == _PERSONAL else None


def _identity(user: User, kind: str) -> str | None:
    """Return the user's first identity of this kind."""
    listed = (user.model_extra or {}).get("identities")
    identities = listed if isinstance(listed, list) else []
    found = (one for one in identities if isinstance(one, Mapping) and one.get("type") == kind)
    return next((value for one in found if (value := _text(one, "value"))), None)


def _text(part: Mapping[str, Any], name: str) -> str | None:
    """Return a field's value if it is a non-empty string."""
    value = part.get(name)
    return value if isinstance(value, str) and value else None
