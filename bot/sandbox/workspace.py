"""The agent workspace: tickets, and the agents who handle them (docs/platform.md, 3)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from bot.sandbox.account import PLATFORM
from bot.sandbox.errors import NotPossibleError
from bot.sandbox.history import Cause, Kind
from bot.sandbox.messages import Messages
from bot.sandbox.records import (
    AGENT_WORKSPACE,
    Caller,
    Conversation,
    Json,
    Message,
    SwitchboardIntegration,
    Ticket,
    TicketStatus,
)

_FIELD = "dataCapture.ticketField."
_SYSTEM_FIELD = "dataCapture.systemField."
_COPIED = 10  # messages copied into a ticket by default


class Workspace(Messages):
    """The agents' layer of the model. Control in the workspace opens a ticket."""

    def ticket_of(self, conversation_id: str) -> Ticket | None:
        """The newest ticket of a conversation."""
        found = [ticket for ticket in self.tickets if ticket.conversation_id == conversation_id]
        return found[-1] if found else None

    def agent_says(
        self,
        conversation_id: str,
        text: str,
        now: datetime,
        agent: str = "Ada",
    ) -> Message:
        """Write as an agent; the workspace also shows conversations that a bot holds."""
        conversation = self._see(conversation_id)
        if conversation.ended_at is not None and self.settings["disableConversationReopen"]:
            raise NotPossibleError("The user has ended the conversation.")
        workspace = self._workspace()
        takes = self.switches.agent_writes_while_bot_active_takes_control
        if takes and workspace is not None and conversation.active != workspace.id:
            self._move(conversation, workspace.id, now, f"agent:{agent}", Cause.AGENT_WROTE)
        author: Json = {"type": "business", "displayName": agent}
        if self.switches.agent_message_subtype:
            author["subtypes"] = ["agent"]
        message = Message(
            id=self._ids(),
            received=now,
            author=author,
            content={"type": "text", "text": text},
            source={"type": AGENT_WORKSPACE},
            actor=f"agent:{agent}",
        )
        return self._say(conversation, message, now, assigns=self.switches.business_message_assigns)

    def trigger_says(self, conversation_id: str, text: str, now: datetime) -> Message:
        """Write as a business rule of the workspace; control does not move."""
        conversation = self._see(conversation_id)
        if conversation.ended_at is not None:
            raise NotPossibleError("The user has ended the conversation.")
        message = Message(
            id=self._ids(),
            received=now,
            author={"type": "business", "displayName": "Support"},
            content={"type": "text", "text": text},
            source={"type": AGENT_WORKSPACE},
            metadata={"__zendesk_msg.agent.id": "__trigger"},
            actor="trigger",
        )
        return self._say(conversation, message, now, assigns=self.switches.business_message_assigns)

    def agent_solves(self, conversation_id: str, now: datetime, agent: str = "Ada") -> Ticket:
        """Solve the ticket as an agent. Control stays until the ticket is closed."""
        ticket = self._ticket(conversation_id)
        ticket.status = TicketStatus.SOLVED
        self._record_ticket(ticket, f"agent:{agent}", "solved", now)
        return ticket

    def close_ticket(self, conversation_id: str, now: datetime) -> Ticket:
        """Close the ticket (by default 4 days after it was solved); control moves on."""
        ticket = self._ticket(conversation_id)
        ticket.status = TicketStatus.CLOSED
        ticket.session_over = True
        self._record_ticket(ticket, PLATFORM, "closed", now)
        self._finish_session(ticket, now, "ticket:closed", "ticketClosed", Cause.TICKET_CLOSED)
        return ticket

    def transfer_to_email(self, conversation_id: str, now: datetime, agent: str = "Ada") -> Ticket:
        """Continue the ticket by e-mail; control moves on."""
        ticket = self._ticket(conversation_id)
        ticket.session_over = True
        self._record_ticket(ticket, f"agent:{agent}", "transferred to e-mail", now)
        self._finish_session(
            ticket,
            now,
            "ticket:transfer:email",
            "transferToEmail",
            Cause.TRANSFER_TO_EMAIL,
        )
        return ticket

    def agent_ends(self, conversation_id: str, now: datetime, agent: str = "Ada") -> Ticket:
        """End the session as an agent; control is released, or passed in pass mode.

        There is no system message.
        """
        ticket = self._ticket(conversation_id)
        conversation = self._see(conversation_id)
        if not self._workspace_holds(conversation):
            raise NotPossibleError("The agent workspace does not hold the conversation.")
        ticket.session_over = True
        self._record_ticket(ticket, f"agent:{agent}", "session ended", now)
        passes = self.switches.mode == "pass" and self.switches.agent_end_in_pass == "passed"
        self._give_up(conversation, now, Cause.AGENT_ENDED, passes=passes)
        return ticket

    def agent_passes(
        self,
        conversation_id: str,
        target: str,
        now: datetime,
        agent: str = "Ada",
    ) -> None:
        """Pass control on as an agent, for example to the bot. The ticket stays."""
        self.pass_control(conversation_id, self._as_workspace(conversation_id, agent), target, now)

    def agent_releases(self, conversation_id: str, now: datetime, agent: str = "Ada") -> None:
        """Release control as an agent. The ticket stays."""
        self.release_control(conversation_id, self._as_workspace(conversation_id, agent), now)

    def _as_workspace(self, conversation_id: str, agent: str) -> Caller:
        conversation = self._see(conversation_id)
        if not self._workspace_holds(conversation):
            raise NotPossibleError("The agent workspace does not hold the conversation.")
        return Caller(
            f"agent:{agent}",
            "integration",
            self.members[conversation.active or ""].integration_id,
        )

    def _finish_session(
        self,
        ticket: Ticket,
        now: datetime,
        activity: str,
        reason: str,
        cause: Cause,
    ) -> None:
        """Send the system message and move control, in the order set by the switch."""
        conversation = self.conversations.get(ticket.conversation_id)
        if conversation is None or not self._workspace_holds(conversation):
            return
        source: Json = {"type": AGENT_WORKSPACE}
        author: Json = {"type": "business", "subtypes": ["activity"]}
        text = activity.replace(":", " ")
        if self.switches.end_order == "message_first":
            self._system_says(conversation, activity, text, author, source, now)
        self._give_up(conversation, now, cause, passes=self.switches.mode == "pass", reason=reason)
        if self.switches.end_order == "control_first":
            self._system_says(conversation, activity, text, author, source, now)

    def _system_says(
        self,
        conversation: Conversation,
        activity: str,
        text: str,
        author: Json,
        source: Json,
        now: datetime,
        *,
        webhook: bool = True,
    ) -> None:
        message = Message(
            id=self._ids(),
            received=now,
            author=author,
            content={"type": "text", "text": text},
            source=source,
            actor=PLATFORM,
            activity={"type": activity},
        )
        self._say(
            conversation,
            message,
            now,
            assigns=self.switches.system_message_assigns,
            webhook=webhook,
        )

    def _give_up(
        self,
        conversation: Conversation,
        now: datetime,
        cause: Cause,
        *,
        passes: bool,
        reason: str | None = None,
        webhook: bool = True,
    ) -> None:
        """Take control from the active integration: to nobody, or to its `next`."""
        active = self.members.get(conversation.active or "")
        if active is None:
            return
        to = active.next_id if passes and active.next_id in self.members else None
        if passes and to is None and self.switches.pass_without_next == "stays":
            return
        self._move(conversation, to, now, PLATFORM, cause, reason=reason, webhook=webhook)

    def _control_arrived(
        self,
        conversation: Conversation,
        member: SwitchboardIntegration,
        metadata: Mapping[str, Any],
        now: datetime,
    ) -> None:
        if member.integration_type != AGENT_WORKSPACE:
            return
        ticket = self.ticket_of(conversation.id)
        if ticket is None or ticket.session_over or ticket.status is TicketStatus.CLOSED:
            ticket = Ticket(len(self.tickets) + 1, conversation.id, now)
            ticket.opened_after_end = conversation.ended_at is not None
            ticket.message_ids = _copied(conversation, metadata.get("first_message_id"))
            self.tickets.append(ticket)
        for key, value in metadata.items():
            if key.startswith(_FIELD):
                ticket.fields[key.removeprefix(_FIELD)] = value
            elif key.startswith(_SYSTEM_FIELD):
                ticket.system_fields[key.removeprefix(_SYSTEM_FIELD)] = value
        self._record_ticket(ticket, PLATFORM, "opened", now)

    def _user_wrote(self, conversation: Conversation, now: datetime) -> None:
        """Reopen a solved ticket when the user writes while the workspace has control."""
        ticket = self.ticket_of(conversation.id)
        if ticket is None or ticket.status is not TicketStatus.SOLVED or not self._workspace_holds(conversation):
            return
        ticket.status = TicketStatus.OPEN
        self._record_ticket(ticket, PLATFORM, "opened again", now)

    def _ticket(self, conversation_id: str) -> Ticket:
        ticket = self.ticket_of(conversation_id)
        if ticket is None or ticket.status is TicketStatus.CLOSED:
            raise NotPossibleError(f"Conversation {conversation_id} has no open ticket.")
        return ticket

    def _workspace(self) -> SwitchboardIntegration | None:
        return next(
            (m for m in self.members.values() if m.integration_type == AGENT_WORKSPACE),
            None,
        )

    def _workspace_holds(self, conversation: Conversation) -> bool:
        active = self.members.get(conversation.active or "")
        return active is not None and active.integration_type == AGENT_WORKSPACE

    def _record_ticket(self, ticket: Ticket, actor: str, what: str, now: datetime) -> None:
        conversation = self.conversations.get(ticket.conversation_id)
        detail = {
            "ticket": ticket.number,
            "fields": dict(ticket.fields),
            **ticket.system_fields,
        }
        self._record(Kind.TICKET, now, conversation, actor, text=what, detail=detail)


def _copied(conversation: Conversation, first_message_id: object) -> tuple[str, ...]:
    """The messages for the ticket: from `first_message_id` on, or else the newest 10."""
    ids = [message.id for message in conversation.messages]
    if first_message_id in ids:
        return tuple(ids[ids.index(str(first_message_id)) :])
    return tuple(ids[-_COPIED:])
