"""Messages and typing indicators, and the API to post and read them (docs/platform.md, 5)."""

from __future__ import annotations

from datetime import datetime

from bot.sandbox.contents import check_content, check_metadata, take_shorthand
from bot.sandbox.control import Control
from bot.sandbox.errors import ApiError, bad_request
from bot.sandbox.history import Cause, Kind
from bot.sandbox.payloads import conversation_in_api, message_in_api, message_in_event
from bot.sandbox.records import Caller, Conversation, Json, Message

PAGE = 100
_AUTHOR_KEYS = ("type", "displayName", "avatarUrl", "subtypes")
_ACTIVITIES = ("typing:start", "typing:stop", "conversation:read")


class Messages(Control):
    """The message layer of the model."""

    def get_conversation(self, conversation_id: str) -> Json:
        """`GET …/conversations/{id}`."""
        return {"conversation": conversation_in_api(self._find(conversation_id), self.members)}

    def post_message(self, conversation_id: str, caller: Caller, body: Json, now: datetime) -> Json:
        """`POST …/messages`: post a business message; standby integrations may, too.

        A control shorthand in the text moves control and is not shown.
        """
        conversation = self._find(conversation_id)
        author, metadata = body.get("author"), body.get("metadata")
        if not isinstance(author, dict) or author.get("type") != "business":
            raise bad_request("The author's type must be user or business.")
        check_metadata(metadata)
        content, target = take_shorthand(check_content(body.get("content")))
        self._check_room(conversation)
        message = Message(
            id=self._ids(),
            received=now,
            author={key: author[key] for key in _AUTHOR_KEYS if key in author},
            content=content,
            source={"type": "api:conversations"},
            actor=caller.key_id,
            metadata=metadata,
        )
        posted = target is None or bool(
            content.get("text") or content.get("actions") or content["type"] != "text",
        )
        if posted:
            self._say(conversation, message, now, assigns=self.switches.business_message_assigns)
        if target is not None:
            self._pass_to(conversation, target, now, caller, Cause.SHORTHAND)
        return {"messages": [message_in_api(message)] if posted else []}

    def list_messages(
        self,
        conversation_id: str,
        before: str | None = None,
        after: str | None = None,
    ) -> Json:
        """`GET …/messages`: 100 messages, oldest first; without a cursor the newest page."""
        messages = self._find(conversation_id).messages
        if before is not None and after is not None:
            raise bad_request("Only one of page[before] and page[after] can be given.")
        first, last = 0, len(messages)
        if after is not None:
            first = _position(messages, after) + 1
            last = min(last, first + PAGE)
        else:
            last = last if before is None else _position(messages, before)
            first = max(0, last - PAGE)
        page = messages[first:last]
        more_before, more_after = first > 0, last < len(messages)
        meta: Json = {"hasMore": more_after if after is not None else more_before}
        if page and more_before:
            meta["beforeCursor"] = page[0].id
        if page and more_after:
            meta["afterCursor"] = page[-1].id
        return {
            "messages": [message_in_api(message) for message in page],
            "meta": meta,
            "links": {},
        }

    def post_activity(self, conversation_id: str, body: Json) -> None:
        """`POST …/activity`: typing and read receipts, shown to the user but not stored."""
        self._find(conversation_id)
        author = body.get("author")
        if body.get("type") not in _ACTIVITIES or not isinstance(author, dict):
            raise bad_request("An activity needs an author and one of the known types.")
        if body["type"] != "conversation:read" and author.get("type") == "business":
            self._show_typing(conversation_id, types=body["type"] == "typing:start")

    def _say(
        self,
        conversation: Conversation,
        message: Message,
        now: datetime,
        *,
        assigns: bool,
        webhook: bool = True,
    ) -> Message:
        """Add a message and send its event; `assigns` says whether it counts as activity."""
        snapshot = self._touch(conversation, now) if assigns else self._snapshot(conversation)
        conversation.messages.append(message)
        if message.author["type"] == "business":
            self._show_typing(conversation.id, types=False)
        conversation.last_updated_at = now
        detail: Json = {"author": message.author["type"], "content": message.content}
        if message.activity is not None:
            detail["activity"] = message.activity["type"]
        self._record(
            Kind.MESSAGE,
            now,
            conversation,
            message.actor,
            message_id=message.id,
            text=message.text,
            metadata=message.metadata,
            detail=detail,
        )
        if webhook:
            user = self.users.get(message.author.get("userId", conversation.user_id))
            shown = message_in_event(
                message,
                user,
                show_activity=self.switches.end_message != "subtype_only",
            )
            payload = {"conversation": snapshot, "message": shown}
            self._emit("conversation:message", payload, now, conversation)
        return message

    def _check_room(self, conversation: Conversation) -> None:
        if len(conversation.messages) >= self.message_limit:
            raise ApiError(
                423,
                "locked",
                f"Message limit of {self.message_limit} per conversation reached.",
            )

    def _show_typing(self, conversation_id: str, *, types: bool) -> None:
        if types == (conversation_id in self.typing):
            return
        (self.typing.add if types else self.typing.discard)(conversation_id)
        if self.on_typing is not None:
            self.on_typing()


def _position(messages: list[Message], message_id: str) -> int:
    for position, message in enumerate(messages):
        if message.id == message_id:
            return position
    raise bad_request("The cursor is not a message of this conversation.")
