"""The API's conversations: create, find, change and delete."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from bot.sandbox.contents import check_metadata
from bot.sandbox.errors import bad_request, items
from bot.sandbox.paging import page
from bot.sandbox.payloads import conversation_in_api
from bot.sandbox.records import Conversation, Json, User
from bot.sandbox.user_calls import UserCalls

MAX_PARTICIPANTS = 10
API_SOURCE = "api:conversations"
_DETAILS = ("displayName", "description", "iconUrl")


class ConversationCalls(UserCalls):
    """The API's conversation operations (`get_conversation` is in `messages.py`)."""

    def start_conversation(self, body: Json, now: datetime) -> Json:
        """`POST …/conversations`: `personal` with one user, or `sdkGroup` with up to ten."""
        kind = body.get("type")
        if kind not in ("personal", "sdkGroup"):
            raise bad_request("type must be personal or sdkGroup.")
        people = [self.participant(one, now, group=kind == "sdkGroup") for one in items(body, "participants")]
        if kind == "personal" and len(people) != 1:
            raise bad_request("A personal conversation has exactly one participant.")
        if len(people) > MAX_PARTICIPANTS:
            raise bad_request("Too many participants")
        check_metadata(body.get("metadata"))
        owner = people[0].id if kind == "personal" else ""
        conversation = Conversation(
            id=self._ids(),
            user_id=owner,
            channel_id=self.channel_id,
            created_at=now,
            is_default=bool(owner) and all(known.user_id != owner for known in self.conversations.values()),
            metadata=dict(body.get("metadata") or {}),
            type=kind,
            group=list(dict.fromkeys(user.id for user in people)) if kind == "sdkGroup" else [],
            details=_details({}, body),
        )
        self._begin(conversation, "none", {"type": API_SOURCE}, "api", now)
        return self.get_conversation(conversation.id)

    def list_conversations(self, query: Mapping[str, str]) -> Json:
        """`GET …/conversations`: of the user in `filter[userId]` or `filter[userExternalId]`."""
        user_id, external_id = (
            query.get("filter[userId]"),
            query.get("filter[userExternalId]"),
        )
        if (user_id is None) == (external_id is None):
            raise bad_request("Pass either filter[userId] or filter[userExternalId].")
        user = self.find_user(user_id or external_id or "")
        theirs = [one for one in self.conversations.values() if user.id in one.participants]
        shown, about = page(theirs, lambda one: one.id, query)
        return {
            "conversations": [conversation_in_api(one, self.members) for one in shown],
            **about,
        }

    def update_conversation(self, conversation_id: str, body: Json, now: datetime) -> Json:
        """`PATCH …/conversations/{id}`: name, description, icon, and metadata as a whole."""
        conversation = self._find(conversation_id)
        if "metadata" in body:
            check_metadata(body["metadata"])
            conversation.metadata = dict(body["metadata"] or {})
        conversation.details = _details(conversation.details, body)
        conversation.last_updated_at = now
        return self.get_conversation(conversation_id)

    def delete_conversation(self, conversation_id: str, now: datetime) -> None:
        """`DELETE …/conversations/{id}`: the user's default one can't be deleted."""
        if self._find(conversation_id).is_default:
            raise bad_request(
                f"Conversation {conversation_id} cannot be deleted because it is the default.",
            )
        self.remove_conversation(conversation_id, now=now)

    def download(self, conversation_id: str) -> Json:
        """`POST …/download`: only for Apple's channel, which no conversation here uses."""
        self._find(conversation_id)
        raise bad_request("The conversation has no channel of the type apple.")

    def convert(self, conversation_id: str) -> Json:
        """`POST …/conversionEvents`: only for Meta's channels, which none here uses."""
        self._find(conversation_id)
        raise bad_request("The conversation has no channel of the type instagram or messenger.")

    def participant(self, given: Any, now: datetime, *, group: bool) -> User:
        """The user that a request names as participant, or 400/404.

        `subscribeSDKClient` gives them a widget client if they have none.
        """
        if not isinstance(given, dict) or ("userId" in given) == ("userExternalId" in given):
            raise bad_request("A participant has either userId or userExternalId.")
        if group and not isinstance(given.get("subscribeSDKClient"), bool):
            raise bad_request(
                "subscribeSDKClient is required in a conversation of the type sdkGroup.",
            )
        user = self.find_user(str(given.get("userId") or given.get("userExternalId")))
        if given.get("subscribeSDKClient"):
            self.widget_seen.setdefault(user.id, now)
        return user


def _details(known: Json, body: Json) -> Json:
    if not all(isinstance(body.get(name), str | None) for name in _DETAILS):
        raise bad_request(f"{', '.join(_DETAILS)} must be texts.")
    changed = {**known, **{name: body[name] for name in _DETAILS if name in body}}
    return {name: value for name, value in changed.items() if value is not None}
