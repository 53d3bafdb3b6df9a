"""The lowest layer of the model: the app's records, its history, and event routing."""

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
"""Actor of everything that the platform does by itself."""


class Account:
    """The records of the app.

    Args:
        app_id: the app's id.
        integrations: the switchboard's integrations. An app integration is created for
            each, plus one web channel.
        switches: the platform's undocumented behaviour.
        ids: creates new ids.
        default: name of the default responder; default: the first integration.
        message_limit: messages per conversation before it is locked.

    Attributes:
        observers: called with each entry of the history.
        on_outgoing: called when an event is ready to be sent.
        typing: ids of conversations with a typing indicator of the business. It appears
            in no event and not in the history.
        on_typing: called when that changes.
        clients: the users' links to channels other than the widget.
        attachments: uploaded files, by path.
        widget_seen: when each user was last seen in the widget, by user id.
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
                member.integration_id: Integration(
                    member.integration_id,
                    member.integration_type,
                    member.name,
                )
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
        """Return the events to be sent, in order, and clear the queue."""
        taken, self._outgoing = self._outgoing, []
        return taken

    def member(self, name: str) -> SwitchboardIntegration:
        """The switchboard integration with this name or id. Raises `KeyError`."""
        for member in self.members.values():
            if name in (member.id, member.name):
                return member
        raise KeyError(name)

    def holder(self, conversation_id: str) -> str | None:
        """Name of the active switchboard integration; None if nobody or no conversation."""
        conversation = self.conversations.get(conversation_id)
        return None if conversation is None else self._name(conversation.active)

    def is_open(self, conversation_id: str) -> bool:
        """Whether somebody is active, the only sign of an open conversation.

        See docs/platform.md, 3.
        """
        return self.holder(conversation_id) is not None

    def _first_default(self, name: str | None) -> str | None:
        if name is not None:
            return self.member(name).id
        return next(iter(self.members), None)

    def _find(self, conversation_id: str) -> Conversation:
        """Return the conversation, for API calls, or raise 404."""
        conversation = self.conversations.get(conversation_id)
        if conversation is None:
            raise not_found("conversation")
        return conversation

    def _see(self, conversation_id: str) -> Conversation:
        """Return the conversation on a person's screen."""
        conversation = self.conversations.get(conversation_id)
        if conversation is None:
            raise NotPossibleError(f"Conversation {conversation_id} does not exist or was deleted.")
        return conversation

    def _name(self, member_id: str | None) -> str | None:
        member = self.members.get(member_id) if member_id is not None else None
        return None if member is None else member.name

    def _default_responder(self, conversation: Conversation) -> str | None:
        """The channel's own default responder, or else the app's."""
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
        """The conversation as events show it now."""
        return conversation_in_event(
            conversation,
            self.members,
            extra_keys=self.switches.extra_keys,
        )

    def _emit(
        self,
        event_type: str,
        payload: Json,
        now: datetime,
        conversation: Conversation | None = None,
        former: str | None = None,
    ) -> None:
        """Queue an event for every integration that hears it; `former` just lost control."""
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

    def _hears(
        self,
        integration_id: str,
        conversation: Conversation | None,
        former: str | None,
    ) -> bool:
        """Return whether an integration hears an event; unlinked ones hear everything."""
        member = next(
            (m for m in self.members.values() if m.integration_id == integration_id),
            None,
        )
        if member is None or conversation is None:
            return True
        if member.id == former and conversation.active != former:
            return self.switches.event_to_releaser
        if member.id in (conversation.active, conversation.pending):
            return True
        return member.deliver_standby_events
