"""The sandbox's model driven by a tape: repeats others' actions, answers the bot's.

There are no tickets: the tape has what agents and the platform did with them.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from bot.sandbox.account import PLATFORM
from bot.sandbox.control import PASSED
from bot.sandbox.history import Cause, Kind
from bot.sandbox.payloads import member_json
from bot.sandbox.records import (
    Caller,
    Conversation,
    Json,
    Message,
    SwitchboardIntegration,
    User,
)
from bot.sandbox.switchboard import BOT, Switchboard
from bot.tape import iso
from webhooks.messages import Message as SeenMessage
from webhooks.messages import SwitchboardIntegration as SeenIntegration


class TapedSwitchboard(Switchboard):
    """One app of the platform, with the conversations of a tape.

    Attributes:
        failing: error codes for the bot's next passes, in order, by conversation.
    """

    failing: dict[str, list[str]]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.failing = {}
        self._by_tape: dict[str, str] = {}  # integration ids: from the tape's to the model's

    def member_of(self, seen: SeenIntegration | None, me: str) -> str | None:
        """The model's id of an integration on the tape, created if missing; None: nobody.

        Args:
            seen: the integration as shown on the tape.
            me: the tape's name or id of the bot's own integration.
        """
        if seen is None:
            return None
        if known := self._by_tape.get(seen.id):
            return known
        if me in (seen.id, seen.name):
            member = self.member(BOT)
        else:
            member = next(
                (one for one in self.members.values() if seen.name and one.name == seen.name),
                None,
            ) or (self._new_member(seen))
        self._by_tape[seen.id] = member.id
        return member.id

    def is_bot(self, member_id: str) -> bool:
        """Whether it is the bot's integration."""
        return self.members[member_id].name == BOT

    def appears(
        self,
        conversation_id: str,
        user_id: str | None,
        active: str | None,
        at: datetime,
    ) -> None:
        """Create a conversation at its first event, with the active integration shown."""
        user_id = user_id or f"user of {conversation_id}"
        if user_id not in self.users:
            self.users[user_id] = User(user_id, "")
        if conversation_id not in self.conversations:
            self.conversations[conversation_id] = Conversation(
                conversation_id,
                user_id,
                self.channel_id,
                at,
                is_default=False,
            )
            self._record(Kind.CREATED, at, self.conversations[conversation_id], PLATFORM)
        conversation = self.conversations[conversation_id]
        if active is not None:
            self._move(conversation, active, at, PLATFORM, Cause.CREATED, webhook=False)

    def moves(
        self,
        conversation_id: str,
        to: str | None,
        at: datetime,
        cause: Cause,
        reason: str | None,
    ) -> None:
        """Move control on behalf of others; the tape's own event reports it."""
        conversation = self.conversations[conversation_id]
        self._move(conversation, to, at, PLATFORM, cause, reason=reason, webhook=False)

    def says(
        self,
        conversation_id: str,
        seen: SeenMessage,
        raw: Mapping[str, Any],
        at: datetime,
        activity: str = "",
    ) -> None:
        """Add a message of others; the tape's own event reports it."""
        conversation = self.conversations[conversation_id]
        is_user = seen.author.is_user and not seen.is_activity
        message = Message(
            id=seen.id or f"message of {iso(at)}",
            received=at,
            author={"type": "business", **_object(raw.get("author"))},
            content={"type": "text", **_object(raw.get("content"))},
            source=_object(raw.get("source")),
            actor=f"user:{conversation.user_id}" if is_user else "agent" if seen.is_from_agent else PLATFORM,
            metadata=seen.metadata or None,
            activity=_activity(seen, activity),
        )
        if is_user and conversation.ended_at is not None:
            conversation.ended_at = None
            self._record(Kind.REOPENED, at, conversation, message.actor)
        self._say(conversation, message, at, assigns=False, webhook=False)

    def taps(self, conversation_id: str, payload: str, at: datetime) -> None:
        """Record that the user taps a button, or arrives by a link."""
        conversation = self.conversations[conversation_id]
        self._record(Kind.POSTBACK, at, conversation, f"user:{conversation.user_id}", text=payload)

    def ends(self, conversation_id: str, at: datetime) -> None:
        """Record the user's end; the tape tells where control goes."""
        if conversation_id not in self.conversations:
            self.appears(conversation_id, None, None, at)
        conversation = self.conversations[conversation_id]
        if conversation.ended_at is None:
            conversation.ended_at = at
            self._record(Kind.ENDED, at, conversation, f"user:{conversation.user_id}")

    def vanishes(self, conversation_id: str, at: datetime) -> None:
        """Remove a conversation that was deleted or merged into another one."""
        if conversation := self.conversations.get(conversation_id):
            self._drop(conversation, Kind.REMOVED, at)

    def vanish_with(self, user_id: str, at: datetime) -> None:
        """Remove a user, with all conversations."""
        for conversation in list(self._conversations_of(user_id)):
            self._drop(conversation, Kind.REMOVED, at)

    def active(self, conversation_id: str) -> str | None:
        """The model's id of the active integration."""
        conversation = self.conversations.get(conversation_id)
        return conversation.active if conversation else None

    def shown(self, conversation_id: str) -> Json | None:
        """The active integration as events show it now; None: nobody."""
        active = self.active(conversation_id)
        return member_json(self.members[active]) if active else None

    def _new_member(self, seen: SeenIntegration) -> SwitchboardIntegration:
        kind = seen.integration_type or "zd:unknown"
        made = SwitchboardIntegration(
            seen.id,
            seen.name or seen.id,
            f"integration of {seen.id}",
            kind,
        )
        self.members[made.id] = made
        return made

    def _control_arrived(self, *_: object) -> None:
        """Create no tickets."""

    def _pass_to(
        self,
        conversation: Conversation,
        target: str,
        now: datetime,
        caller: Caller,
        cause: Cause,
        metadata: Json | None = None,
    ) -> None:
        codes = self.failing.get(conversation.id)
        if codes:
            self._fail(conversation, PASSED, codes.pop(0), now, caller, metadata)
            return
        super()._pass_to(conversation, target, now, caller, cause, metadata)


def _activity(seen: SeenMessage, known: str) -> Json | None:
    """A message's activity; `known` is used if the tape does not show its type."""
    if seen.activity is None:
        return {"type": known} if known else None
    return {"type": seen.activity.type or known, **seen.activity.data}


def _object(value: object) -> Json:
    return dict(value) if isinstance(value, dict) else {}
