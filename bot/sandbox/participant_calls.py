"""The API's participants: the users of a conversation; joining and leaving a group."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from bot.sandbox.conversation_calls import MAX_PARTICIPANTS, ConversationCalls
from bot.sandbox.errors import ApiError, bad_request
from bot.sandbox.paging import page
from bot.sandbox.payloads import user_in_event
from bot.sandbox.records import Conversation, Json, User, iso, related_id

_LEAVERS = ("userId", "userExternalId", "participantId")


class ParticipantCalls(ConversationCalls):
    """The API's participant operations."""

    def list_participants(self, conversation_id: str, query: Mapping[str, str]) -> Json:
        """`GET …/participants`."""
        conversation = self._find(conversation_id)
        people = [self._participant_json(conversation, self.users[user_id]) for user_id in conversation.participants]
        shown, about = page(people, lambda one: str(one["id"]), query)
        return {"participants": list(shown), **about}

    def join(self, conversation_id: str, body: Json, now: datetime) -> Json:
        """`POST …/join`: add a participant; only groups take more."""
        conversation = self._find(conversation_id)
        if conversation.type != "sdkGroup":
            raise bad_request("Only a conversation of the type sdkGroup can be joined.")
        user = self.participant(body, now, group=True)
        if user.id not in conversation.group:
            if len(conversation.group) >= MAX_PARTICIPANTS:
                raise bad_request("Too many participants")
            conversation.group.append(user.id)
            self._tell_move("conversation:join", conversation, user, now)
        return {"participant": self._participant_json(conversation, user)}

    def leave(self, conversation_id: str, body: Json, now: datetime) -> None:
        """`POST …/leave`: a participant by `userId`, `userExternalId` or `participantId`."""
        conversation = self._find(conversation_id)
        if conversation.type != "sdkGroup":
            raise bad_request("Only a conversation of the type sdkGroup can be left.")
        given = [body[name] for name in _LEAVERS if name in body]
        if len(given) != 1:
            raise bad_request("Pass one of userId, userExternalId and participantId.")
        for user in [self.users[user_id] for user_id in conversation.group]:
            if given[0] in (
                user.id,
                user.external_id,
                related_id(conversation.id, user.id),
            ):
                conversation.group.remove(user.id)
                self._tell_move("conversation:leave", conversation, user, now)
                return
        raise ApiError(404, "not_found", "User is not a member of the conversation")

    def remove_user(self, user_id: str, *, now: datetime) -> None:
        """Delete a user, also from groups."""
        super().remove_user(user_id, now=now)
        for conversation in self.conversations.values():
            if user_id in conversation.group:
                conversation.group.remove(user_id)

    def merge_users(
        self,
        surviving_id: str,
        discarded_id: str,
        *,
        now: datetime,
        conversations: tuple[str, str] | None = None,
    ) -> None:
        """Merge two users, also in groups."""
        super().merge_users(surviving_id, discarded_id, now=now, conversations=conversations)
        for conversation in self.conversations.values():
            people = [surviving_id if user_id == discarded_id else user_id for user_id in conversation.group]
            conversation.group = list(dict.fromkeys(people))

    def _tell_move(self, event: str, conversation: Conversation, user: User, now: datetime) -> None:
        payload = {
            "conversation": self._snapshot(conversation),
            "user": user_in_event(user),
        }
        self._emit(event, payload, now, conversation)

    def _participant_json(self, conversation: Conversation, user: User) -> Json:
        read = conversation.last_read.get(user.id)
        unread = [
            m for m in conversation.messages if m.author["type"] == "business" and not (read and m.received <= read)
        ]
        shown: Json = {
            "id": related_id(conversation.id, user.id),
            "userId": user.id,
            "unreadCount": len(unread),
            "clientAssociations": [],
        }
        if user.id in self.widget_seen:
            shown["clientAssociations"] = [
                {"type": "sdk", "clientId": related_id(user.id, "client")},
            ]
        if user.external_id is not None:
            shown["userExternalId"] = user.external_id
        if read is not None:
            shown["lastRead"] = iso(read)
        return shown
