"""User messages, typing and read receipts posted by a custom channel over the API."""

from __future__ import annotations

from datetime import datetime

from bot.sandbox.attachments import Attachments
from bot.sandbox.contents import check_metadata, check_user_content
from bot.sandbox.conversation_calls import API_SOURCE
from bot.sandbox.errors import ApiError, bad_request
from bot.sandbox.history import Kind
from bot.sandbox.payloads import message_in_api, user_in_event
from bot.sandbox.records import Caller, Conversation, Json, Message, User


class UserMessages(Attachments):
    """API operations for messages and activities with a user as author."""

    def post_message(self, conversation_id: str, caller: Caller, body: Json, now: datetime) -> Json:
        """`POST …/messages`: a user's message sends a webhook and reopens an ended one."""
        author = body.get("author")
        if not isinstance(author, dict) or author.get("type") != "user":
            return super().post_message(conversation_id, caller, body, now)
        conversation = self._find(conversation_id)
        user = self._author(conversation, author)
        check_metadata(body.get("metadata"))
        content = check_user_content(body.get("content"))
        self._check_room(conversation)
        if conversation.ended_at is not None:
            conversation.ended_at = None
            self._record(Kind.REOPENED, now, conversation, f"user:{user.id}")
        shown = {
            "displayName": author.get("displayName") or user.name,
            "avatarUrl": author.get("avatarUrl"),
        }
        message = Message(
            id=self._ids(),
            received=now,
            author={
                "type": "user",
                "userId": user.id,
                **{name: value for name, value in shown.items() if value},
            },
            content=content,
            source={"type": API_SOURCE},
            actor=f"user:{user.id}",
            metadata=body.get("metadata"),
        )
        self._say(conversation, message, now, assigns=True)
        self._user_wrote(conversation, now)
        conversation.last_read[user.id] = now
        return {"messages": [message_in_api(message)]}

    def take_activity(self, conversation_id: str, body: Json, now: datetime) -> None:
        """`POST …/activity`: a user's activity sends a webhook; the business's is shown."""
        self.post_activity(conversation_id, body)
        conversation = self._find(conversation_id)
        kind, author = body["type"], body["author"]
        match author.get("type"):
            case "business":
                if kind == "conversation:read":
                    conversation.business_last_read = now
            case "user":
                user = self._author(conversation, author)
                if kind == "conversation:read":
                    conversation.last_read[user.id] = now
                shown = {
                    "type": kind,
                    "author": {
                        "type": "user",
                        "userId": user.id,
                        "user": user_in_event(user),
                    },
                    "source": {"type": API_SOURCE},
                }
                event = "conversation:read" if kind == "conversation:read" else "conversation:typing"
                payload = {"conversation": self._snapshot(conversation), "activity": shown}
                self._emit(event, payload, now, conversation)
            case _:
                raise bad_request("The author's type must be user or business.")

    def _author(self, conversation: Conversation, author: Json) -> User:
        """The user named as author, or 400/404."""
        if ("userId" in author) == ("userExternalId" in author):
            raise bad_request("An author of the type user has either userId or userExternalId.")
        user = self.find_user(str(author.get("userId") or author.get("userExternalId")))
        if user.id not in conversation.participants:
            raise ApiError(400, "bad_request", "The user is not a participant of the conversation.")
        return user
