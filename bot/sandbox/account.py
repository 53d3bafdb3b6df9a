"""The account: what exists in the app, its history, and who hears which event. The lowest layer of the model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from datetime import datetime
from typing import Any

from bot.sandbox.errors import NotPossibleError, not_found
from bot.sandbox.history import Cause, Entry, History, Kind
from bot.sandbox.payloads import conversation_in_event, with_full_users
from bot.sandbox.records import (
    CUSTOM,
    WEB,
    Attachment,
    Client,
    Conversation,
    Delivery,
    IdSource,
    Integration,
    Json,
    SwitchboardIntegration,
    Ticket,
    User,
    Webhook,
    iso,
)
from bot.sandbox.switches import Switches

PLATFORM = "platform"
"""The actor of what the platform does by itself."""


class Account:
    """What exists in the app.

    Args:
        app_id: the app's id.
        integrations: the switchboard's integrations. An app integration is made for each of them, and one web channel.
        switches: how the platform behaves where the documents leave it open.
        ids: makes new ids.
        default: name of the default responder; the first integration if it is not given.
        message_limit: how many messages a conversation holds before it is locked.

    Attributes:
        observers: called with each entry of the history.
        on_outgoing: called when an event waits to be sent.
        typing: ids of the conversations in which the business is shown as typing. No event and no history tells it.
        on_typing: called when that changes.
        clients: the users' links to channels other than the widget.
        attachments: uploaded files, by their path.
        widget_seen: when each user was last seen at the widget, by user id.
    """

    def __init__(
        self,
        app_id: str,
        integrations: Iterable[SwitchboardIntegration],
        switches: Switches,
        ids: IdSource,
        *,
        default: str | None = None,
        message_limit: int = 30_000,
    ) -> None:
        self.app_id = app_id
        self.switches = switches
        self.message_limit = message_limit
        self.history = History()
        self.observers: list[Callable[[Entry], None]] = []
        self.on_outgoing: Callable[[], None] | None = None
        self.typing: set[str] = set()
        self.on_typing: Callable[[], None] | None = None
        self._ids = ids
        self._outgoing: list[Delivery] = []
        self.members = {member.id: member for member in integrations}
        self.channel_id = ids()
        self.integrations = {
            self.channel_id: Integration(self.channel_id, WEB, "Web widget"),
            **{
                member.integration_id: Integration(member.integration_id, member.integration_type, member.name)
                for member in self.members.values()
            },
        }
        self.switchboard_id: str | None = ids()
        self.enabled = True
        self.default_id = self._first_default(default)
        self.webhooks: dict[str, Webhook] = {}
        self.users: dict[str, User] = {}
        self.conversations: dict[str, Conversation] = {}
        self.tickets: list[Ticket] = []
        self.clients: dict[str, Client] = {}
        self.attachments: dict[str, Attachment] = {}
        self.widget_seen: dict[str, datetime] = {}
        self.settings: Json = {
            "multiConvoEnabled": True,
            "endSessionEnabled": True,
            "disableConversationReopen": not switches.reopen_allowed,
            "echoPostback": False,
        }

    def drain(self) -> list[Delivery]:
        """Take the events that wait to be sent, in the order in which they came about."""
        taken, self._outgoing = self._outgoing, []
        return taken

    def member(self, name: str) -> SwitchboardIntegration:
        """The switchboard integration of that name (or id). Raises `KeyError`."""
        for member in self.members.values():
            if name in (member.id, member.name):
                return member
        raise KeyError(name)

    def holder(self, conversation_id: str) -> str | None:
        """The name of the active switchboard integration; None: nobody, or no such conversation."""
        conversation = self.conversations.get(conversation_id)
        return None if conversation is None else self._name(conversation.active)

    def is_open(self, conversation_id: str) -> bool:
        """Is somebody active? (The only thing that shows whether a conversation is open; docs/platform.md, 3.)"""
        return self.holder(conversation_id) is not None

    def _first_default(self, name: str | None) -> str | None:
        if name is not None:
            return self.member(name).id
        return next(iter(self.members), None)

    def _find(self, conversation_id: str) -> Conversation:
        """For API calls: the conversation, or 404."""
        conversation = self.conversations.get(conversation_id)
        if conversation is None:
            raise not_found("conversation")
        return conversation

    def _see(self, conversation_id: str) -> Conversation:
        """For people: the conversation that is on their screen."""
        conversation = self.conversations.get(conversation_id)
        if conversation is None:
            raise NotPossibleError(f"Conversation {conversation_id} does not exist (any more).")
        return conversation

    def _name(self, member_id: str | None) -> str | None:
        member = self.members.get(member_id) if member_id is not None else None
        return None if member is None else member.name

    def _default_responder(self, conversation: Conversation) -> str | None:
        """The channel's own default responder, else the app's."""
        if self.switchboard_id is None or not self.enabled:
            return None
        channel = self.integrations[conversation.channel_id]
        for candidate in (channel.default_responder_id, self.default_id):
            if candidate in self.members:
                return candidate
        return None

    def _record(
        self,
        kind: Kind,
        now: datetime,
        conversation: Conversation | None,
        actor: str,
        *,
        cause: Cause | None = None,
        before: str | None = None,
        message_id: str | None = None,
        text: str = "",
        metadata: Mapping[str, Any] | None = None,
        detail: Mapping[str, Any] | None = None,
    ) -> None:
        entry = Entry(
            number=len(self.history),
            at=now,
            kind=kind,
            actor=actor,
            conversation_id=None if conversation is None else conversation.id,
            holder=None if conversation is None else self._name(conversation.active),
            ended=conversation is not None and conversation.ended_at is not None,
            cause=cause,
            before=before,
            message_id=message_id,
            text=text,
            metadata=dict(metadata or {}),
            detail=dict(detail or {}),
        )
        self.history.append(entry)
        for observer in tuple(self.observers):
            observer(entry)

    def _snapshot(self, conversation: Conversation) -> Json:
        """The conversation as events show it at this moment."""
        return conversation_in_event(conversation, self.members, extra_keys=self.switches.extra_keys)

    def _emit(
        self,
        event_type: str,
        payload: Json,
        now: datetime,
        conversation: Conversation | None = None,
        former: str | None = None,
    ) -> None:
        """Address an event to every custom integration that hears it. `former` has just lost control."""
        event: Json = {"id": self._ids()}
        if self.switches.created_at_present:
            event["createdAt"] = iso(now)
        event |= {"type": event_type, "payload": payload}
        for integration in self.integrations.values():
            if integration.type == CUSTOM and self._hears(integration.id, conversation, former):
                shown = deepcopy(event)
                hooks = [hook for hook in self.webhooks.values() if hook.integration_id == integration.id]
                if any(hook.include_full_user for hook in hooks):
                    shown = with_full_users(shown, self.users)
                self._outgoing.append(Delivery(integration.id, shown))
        if self._outgoing and self.on_outgoing is not None:
            self.on_outgoing()

    def _hears(self, integration_id: str, conversation: Conversation | None, former: str | None) -> bool:
        """Does an integration hear an event? What is not linked to the switchboard hears everything."""
        member = next((m for m in self.members.values() if m.integration_id == integration_id), None)
        if member is None or conversation is None:
            return True
        if member.id == former and conversation.active != former:
            return self.switches.event_to_releaser
        if member.id in (conversation.active, conversation.pending):
            return True
        return member.deliver_standby_events
