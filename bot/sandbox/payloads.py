"""The platform's JSON for conversations, messages and users, in the API and in webhooks."""

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
    """A switchboard integration as shown in `activeSwitchboardIntegration`."""
    return {
        "id": member.id,
        "name": member.name,
        "integrationId": member.integration_id,
        "integrationType": member.integration_type,
    }


def conversation_in_event(
    conversation: Conversation,
    members: Members,
    *,
    extra_keys: bool,
) -> Json:
    """A conversation in webhooks; `extra_keys` adds keys missing from the published schema."""
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
    """A conversation as shown by `GET …/conversations/{id}`."""
    shown = conversation_in_event(conversation, members, extra_keys=False)
    shown["isDefault"] = conversation.is_default
    shown["createdAt"] = iso(conversation.created_at)
    shown["lastUpdatedAt"] = iso(conversation.last_updated_at or conversation.created_at)
    if conversation.business_last_read is not None:
        shown["businessLastRead"] = iso(conversation.business_last_read)
    return {**shown, **conversation.details}


def user_in_event(user: User) -> Json:
    """A user in webhooks without `includeFullUser`."""
    shown: Json = {"id": user.id, "authenticated": user.authenticated}
    if user.external_id is not None:
        shown["externalId"] = user.external_id
    return shown


def user_in_api(user: User) -> Json:
    """A user as shown by `GET …/users/{id}`."""
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
    """The event with full users, as a webhook with `includeFullUser` gets it."""
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
    """A message as shown by `…/messages`."""
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
    """A message in `conversation:message`; a user's message includes its author."""
    shown = message_in_api(message)
    if message.author["type"] == "user" and user is not None:
        shown["author"] = {**message.author, "user": user_in_event(user)}
    if not show_activity:
        shown.pop("activity", None)
    return shown
