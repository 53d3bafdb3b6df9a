"""The JSON that the platform sends: conversations, messages and users as the API and as webhooks show them."""

from __future__ import annotations

from collections.abc import Mapping

from bot.sandbox.records import (
    Conversation,
    Json,
    Message,
    SwitchboardIntegration,
    User,
    iso,
)

Members = Mapping[str, SwitchboardIntegration]


def member_json(member: SwitchboardIntegration) -> Json:
    """A switchboard integration as `activeSwitchboardIntegration` shows it."""
    return {
        "id": member.id,
        "name": member.name,
        "integrationId": member.integration_id,
        "integrationType": member.integration_type,
    }


def conversation_in_event(conversation: Conversation, members: Members, *, extra_keys: bool) -> Json:
    """A conversation as webhooks show it; `extra_keys` adds what real payloads carry beyond the published schema."""
    shown: Json = {"id": conversation.id, "type": conversation.type}
    if conversation.active is not None:
        shown["activeSwitchboardIntegration"] = member_json(members[conversation.active])
    if conversation.pending is not None:
        shown["pendingSwitchboardIntegration"] = member_json(members[conversation.pending])
    if conversation.metadata:
        shown["metadata"] = dict(conversation.metadata)
    if extra_keys:
        shown["brandId"] = "360000000001"
    return shown


def conversation_in_api(conversation: Conversation, members: Members) -> Json:
    """A conversation as `GET …/conversations/{id}` shows it."""
    shown = conversation_in_event(conversation, members, extra_keys=False)
    shown["isDefault"] = conversation.is_default
    shown["createdAt"] = iso(conversation.created_at)
    shown["lastUpdatedAt"] = iso(conversation.last_updated_at or conversation.created_at)
    if conversation.business_last_read is not None:
        shown["businessLastRead"] = iso(conversation.business_last_read)
    return {**shown, **conversation.details}


def user_in_event(user: User) -> Json:
    """A user as webhooks show it without `includeFullUser`."""
    shown: Json = {"id": user.id, "authenticated": user.authenticated}
    if user.external_id is not None:
        shown["externalId"] = user.external_id
    return shown


def user_in_api(user: User) -> Json:
    """A user as `GET …/users/{id}` shows it."""
    name = {"givenName": user.name} if user.name else {}
    shown = {
        **user_in_event(user),
        "profile": {**name, **user.profile},
        "metadata": user.metadata,
        "identities": [],
    }
    if user.signed_up_at is not None:
        shown["signedUpAt"] = user.signed_up_at
    if user.to_be_retained is not None:
        shown["toBeRetained"] = user.to_be_retained
    return shown


def with_full_users(event: Json, users: Mapping[str, User]) -> Json:
    """An event in which each user of the payload is shown whole, as a webhook with `includeFullUser` has it."""
    payload = event["payload"]
    for part in (
        payload,
        payload.get("message", {}).get("author", {}),
        payload.get("activity", {}).get("author", {}),
    ):
        user = users.get(part.get("user", {}).get("id"))
        if user is not None:
            part["user"] = user_in_api(user)
    return event


def message_in_api(message: Message) -> Json:
    """A message as `…/messages` shows it."""
    shown: Json = {
        "id": message.id,
        "received": iso(message.received),
        "author": dict(message.author),
        "content": message.content,
        "source": dict(message.source),
    }
    if message.metadata:
        shown["metadata"] = dict(message.metadata)
    if message.activity is not None:
        shown["activity"] = dict(message.activity)
    return shown


def message_in_event(message: Message, user: User | None, *, show_activity: bool) -> Json:
    """A message as `conversation:message` shows it; the author of a user's message comes with the user."""
    shown = message_in_api(message)
    if message.author["type"] == "user" and user is not None:
        shown["author"] = {**message.author, "user": user_in_event(user)}
    if not show_activity:
        shown.pop("activity", None)
    return shown
