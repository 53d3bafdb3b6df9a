"""The end users' actions, and removal and merging of users (docs/platform.md, 3 and 4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from bot.sandbox.account import PLATFORM
from bot.sandbox.errors import NotPossibleError, not_found
from bot.sandbox.history import Cause, Kind
from bot.sandbox.payloads import user_in_event
from bot.sandbox.records import Conversation, Json, Message, User
from bot.sandbox.workspace import Workspace

CREATION_REASONS = (
    "linkRequest",
    "message",
    "none",
    "notification",
    "prechatCapture",
    "startConversation",
    "proactiveMessaging",
)
ENDED = "conversation:endedByUser"


class Sessions(Workspace):
    """The end users' layer of the model."""

    def create_user(self, name: str, external_id: str | None = None) -> User:
        """Create an end user."""
        user = User(self._ids(), name, external_id)
        self.users[user.id] = user
        return user

    def create_conversation(
        self,
        user: User | str,
        creation_reason: str = "startConversation",
        *,
        now: datetime,
        metadata: Json | None = None,
    ) -> Conversation:
        """Create a conversation; the default responder is active at once."""
        user_id = user if isinstance(user, str) else user.id
        if user_id not in self.users:
            raise NotPossibleError(f"User {user_id} does not exist or was deleted.")
        if creation_reason not in CREATION_REASONS:
            known = ", ".join(CREATION_REASONS)
            raise ValueError(f"{creation_reason!r} is not a creation reason; known are {known}")
        is_default = all(c.user_id != user_id for c in self.conversations.values())
        conversation = Conversation(
            self._ids(),
            user_id,
            self.channel_id,
            now,
            is_default,
            metadata=metadata or {},
        )
        self.widget_seen[user_id] = now
        self._begin(
            conversation,
            creation_reason,
            self._source(conversation),
            f"user:{user_id}",
            now,
        )
        return conversation

    def _begin(
        self,
        conversation: Conversation,
        creation_reason: str,
        source: Json,
        actor: str,
        now: datetime,
    ) -> None:
        """Add a new conversation, assign the default responder, and send the event."""
        self.conversations[conversation.id] = conversation
        self._record(Kind.CREATED, now, conversation, actor, text=creation_reason)
        responder = self._default_responder(conversation)
        if responder is not None:
            self._move(conversation, responder, now, PLATFORM, Cause.CREATED, webhook=False)
        payload: Json = {
            "conversation": self._snapshot(conversation),
            "creationReason": creation_reason,
            "source": source,
        }
        if conversation.participants:
            payload["user"] = user_in_event(self.users[conversation.participants[0]])
        self._emit("conversation:create", payload, now, conversation)

    def can_write(self, conversation_id: str) -> bool:
        """Whether the widget lets the user write."""
        conversation = self.conversations.get(conversation_id)
        if conversation is None:
            return False
        return conversation.ended_at is None or not self.settings["disableConversationReopen"]

    def user_says(
        self,
        conversation_id: str,
        text: str,
        payload: str | None = None,
        *,
        now: datetime,
    ) -> Message:
        """Write as the user, or answer with a quick reply, which has a `payload`."""
        content: Json = {"type": "text", "text": text}
        if payload is not None:
            content["payload"] = payload
        return self._user_sends(conversation_id, content, now)

    def user_sends(
        self,
        conversation_id: str,
        content: Json,
        metadata: Json | None = None,
        *,
        now: datetime,
    ) -> Message:
        """Send a picture, a file or a location as the user, with the API's content."""
        return self._user_sends(conversation_id, content, now, metadata)

    def user_submits(
        self,
        conversation_id: str,
        form_id: str,
        values: Mapping[str, str],
        *,
        now: datetime,
    ) -> Message:
        """Fill in the form of message `form_id`: one value per field name."""
        conversation = self._see(conversation_id)
        form = next((m for m in conversation.messages if m.id == form_id), None)
        if form is None or form.content["type"] != "form":
            raise NotPossibleError(f"Message {form_id} is not a form.")
        fields: list[Json] = []
        for field in form.content["fields"]:
            shown = {key: field[key] for key in ("type", "name", "label") if key in field}
            kind, value = field.get("type", "text"), values.get(field["name"], "")
            answer: object = [{"name": value, "label": value}] if kind == "select" else value
            fields.append({**shown, kind: answer, "quotedMessageId": form_id})
        fallback = "\n".join(f"{field['label']}: {values.get(field['name'], '')}" for field in fields)
        content = {"type": "formResponse", "fields": fields, "textFallback": fallback}
        return self._user_sends(conversation_id, content, now)

    def user_taps(
        self,
        conversation_id: str,
        payload: str,
        metadata: Json | None = None,
        *,
        now: datetime,
    ) -> None:
        """Tap a postback button, which sends an event of its own and no message."""
        conversation = self._writable(conversation_id, now)
        snapshot = self._touch(conversation, now)
        self._user_wrote(conversation, now)
        actor = f"user:{conversation.user_id}"
        self._record(Kind.POSTBACK, now, conversation, actor, text=payload, metadata=metadata)
        postback: Json = {"payload": payload} | ({"metadata": metadata} if metadata else {})
        self._emit(
            "conversation:postback",
            self._by_user(conversation, snapshot, postback=postback),
            now,
            conversation,
        )

    def user_is_referred(
        self,
        conversation_id: str,
        code: str,
        details: Json | None = None,
        *,
        now: datetime,
    ) -> None:
        """Return to the conversation by a link, or by an ad described in `details`."""
        conversation = self._writable(conversation_id, now)
        snapshot = self._touch(conversation, now)
        self._record(Kind.REFERRAL, now, conversation, f"user:{conversation.user_id}", text=code)
        payload = self._by_user(
            conversation,
            snapshot,
            referral={"code": code} | ({"details": details} if details else {}),
        )
        self._emit("conversation:referral", payload, now, conversation)

    def user_types(
        self,
        conversation_id: str,
        *,
        now: datetime,
        activity: str = "typing:start",
    ) -> None:
        """Type (`typing:start`, `typing:stop`) or read (`conversation:read`) as the user."""
        conversation = self._see(conversation_id)
        author = {
            "type": "user",
            "userId": conversation.user_id,
            "user": self._user_shown(conversation),
        }
        shown = {"type": activity, "author": author, "source": self._source(conversation)}
        event = "conversation:read" if activity == "conversation:read" else "conversation:typing"
        self._emit(
            event,
            {"conversation": self._snapshot(conversation), "activity": shown},
            now,
            conversation,
        )

    def user_ends(self, conversation_id: str, *, now: datetime) -> None:
        """End the conversation as the user: a system message, and a move of control."""
        conversation = self._see(conversation_id)
        if not (self.settings["multiConvoEnabled"] and self.settings["endSessionEnabled"]):
            raise NotPossibleError(
                "The widget has no button to end a conversation: endSessionEnabled is off.",
            )
        if conversation.ended_at is not None:
            raise NotPossibleError("The conversation has ended already.")
        conversation.ended_at = now
        detail = {"mode": self.switches.mode}
        self._record(Kind.ENDED, now, conversation, f"user:{conversation.user_id}", detail=detail)
        ticket = self.ticket_of(conversation_id)
        if ticket is not None:
            ticket.session_over = True
        if self.switches.end_order == "message_first":
            self._tell_end(conversation, now)
        self._settle_end(conversation, now)
        if self.switches.end_order == "control_first":
            self._tell_end(conversation, now)

    def remove_conversation(self, conversation_id: str, *, now: datetime) -> None:
        """Delete a conversation."""
        conversation = self._find(conversation_id)
        self._emit(
            "conversation:remove",
            {"conversation": self._snapshot(conversation)},
            now,
            conversation,
        )
        self._drop(conversation, Kind.REMOVED, now)

    def remove_user(self, user_id: str, *, now: datetime) -> None:
        """Delete a user, with all conversations."""
        user = self.users.get(user_id)
        if user is None:
            raise not_found("user")
        for conversation in self._conversations_of(user_id):
            if self.switches.user_removal_tells_conversations:
                self.remove_conversation(conversation.id, now=now)
            else:
                self._drop(conversation, Kind.REMOVED, now)
        del self.users[user_id]
        self._record(Kind.USER_REMOVED, now, None, PLATFORM, detail={"user": user_id})
        self._emit("user:remove", {"user": user_in_event(user)}, now)

    def merge_users(
        self,
        surviving_id: str,
        discarded_id: str,
        *,
        now: datetime,
        conversations: tuple[str, str] | None = None,
    ) -> None:
        """Merge two users into one.

        Args:
            surviving_id: the user to keep.
            discarded_id: the user to merge into it; its conversations move over.
            now: the time.
            conversations: ids of a surviving and a discarded conversation to merge as
                well. The discarded one is deleted; a switch decides who is active in the
                surviving one. There is no control event.
        """
        surviving, discarded = self.users[surviving_id], self.users.pop(discarded_id)
        payload: Json = {
            "mergedUsers": {
                "surviving": user_in_event(surviving),
                "discarded": user_in_event(discarded),
            },
            "reason": "sdkLogin",
        }
        for conversation in self._conversations_of(discarded_id):
            conversation.user_id = surviving_id
        if conversations is not None:
            kept, gone = (self._see(conversation_id) for conversation_id in conversations)
            gone_snapshot = self._snapshot(gone)
            self._merge_conversation(kept, gone, now)
            payload["mergedConversations"] = {
                "surviving": self._snapshot(kept),
                "discarded": gone_snapshot,
            }
        self._emit("user:merge", payload, now)

    def _merge_conversation(self, kept: Conversation, gone: Conversation, now: datetime) -> None:
        kept.messages = sorted(
            [*kept.messages, *gone.messages],
            key=lambda message: (message.received, message.id),
        )
        active = {
            "surviving": kept.active,
            "discarded": gone.active,
            "default": self._default_responder(kept),
        }[self.switches.merge_active]
        self._drop(gone, Kind.MERGED, now, into=kept.id)
        if active != kept.active:
            self._move(kept, active, now, PLATFORM, Cause.MERGE, webhook=False)

    def _drop(self, conversation: Conversation, kind: Kind, now: datetime, **detail: str) -> None:
        """Delete the conversation, so that nobody is active in it."""
        before = self._name(conversation.active)
        del self.conversations[conversation.id]
        conversation.active = conversation.pending = None
        self._record(kind, now, conversation, PLATFORM, before=before, detail=detail)

    def _tell_end(self, conversation: Conversation, now: datetime) -> None:
        author: Json = {"type": self.switches.end_author, "subtypes": ["activity"]}
        if self.switches.end_author == "user":
            author["userId"] = conversation.user_id
        web = self.switches.end_source == "web"
        source = self._source(conversation) if web else {"type": self.switches.end_source}
        webhook = self.switches.end_message != "lost"
        text = "The user has left the chat."
        self._system_says(conversation, ENDED, text, author, source, now, webhook=webhook)

    def _settle_end(self, conversation: Conversation, now: datetime) -> None:
        """Move control after the user's end (docs/platform.md, 3)."""
        passes = self.switches.mode == "pass"
        if passes and conversation.active is not None and not self._workspace_holds(conversation):
            if self.switches.end_while_bot_active_in_pass == "stays":
                return
            passes = self.switches.end_while_bot_active_in_pass == "next"
        webhook = self.switches.end_control_event == "sent"
        reason = self.switches.end_reason
        self._give_up(
            conversation,
            now,
            Cause.USER_ENDED,
            passes=passes,
            reason=reason,
            webhook=webhook,
        )

    def _user_sends(
        self,
        conversation_id: str,
        content: Json,
        now: datetime,
        metadata: Json | None = None,
    ) -> Message:
        conversation = self._writable(conversation_id, now)
        user = self.users[conversation.user_id]
        self.widget_seen[user.id] = now
        message = Message(
            id=self._ids(),
            received=now,
            author={"type": "user", "userId": user.id, "displayName": user.name},
            content=content,
            source=self._source(conversation),
            actor=f"user:{user.id}",
            metadata=metadata,
        )
        self._say(conversation, message, now, assigns=True)
        self._user_wrote(conversation, now)
        return message

    def _writable(self, conversation_id: str, now: datetime) -> Conversation:
        """The conversation, ready for input; input after an end reopens it if allowed."""
        conversation = self._see(conversation_id)
        if not self.can_write(conversation_id):
            raise NotPossibleError(
                "The user has ended the conversation and can no longer write in it.",
            )
        if conversation.ended_at is not None:
            conversation.ended_at = None
            self._record(Kind.REOPENED, now, conversation, f"user:{conversation.user_id}")
        return conversation

    def _by_user(self, conversation: Conversation, snapshot: Json, **more: Json) -> Json:
        user, source = self._user_shown(conversation), self._source(conversation)
        return {"conversation": snapshot, "user": user, "source": source, **more}

    def _user_shown(self, conversation: Conversation) -> Json:
        return user_in_event(self.users[conversation.user_id])

    def _source(self, conversation: Conversation) -> Json:
        channel = self.integrations[conversation.channel_id]
        return {"type": channel.type, "integrationId": channel.id}

    def _conversations_of(self, user_id: str) -> Sequence[Conversation]:
        return [c for c in self.conversations.values() if c.user_id == user_id]
