"""Scripted people for the demo and tests: a visitor at the widget, and an agent."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol, TypeVar

from bot.clock import Clock
from bot.sandbox.errors import NotPossibleError
from bot.sandbox.records import Json, Message, Ticket, TicketStatus
from bot.sandbox.switchboard import Switchboard

T = TypeVar("T")

WAIT_TIMEOUT = 10.0
"""Default number of seconds that people wait."""

Wanted = str | Callable[[Message], bool]
"""A part of the text, or a predicate on the message."""


class Site(Protocol):
    """What people need of the sandbox that they are in."""

    switchboard: Switchboard
    clock: Clock
    pace: Callable[[], Awaitable[None]]

    async def until(self, look: Callable[[], T | None], timeout: float | None, what: str) -> T:
        """Wait until `look` finds something."""
        ...


class Visitor:
    """A user of the web widget, in one conversation.

    Args:
        sandbox: the platform.
        name: the person's name.

    Attributes:
        user: the platform's record of the person.
        metadata: for the conversation that the visitor will open.
    """

    def __init__(self, sandbox: Site, name: str) -> None:
        self._sandbox = sandbox
        self._switchboard = sandbox.switchboard
        self.user = self._switchboard.create_user(name)
        self.metadata: Json = {}
        self._conversation_id: str | None = None
        self._read = 0

    @property
    def conversation_id(self) -> str:
        """The conversation's id. Raises `NotPossibleError` before there is one."""
        if self._conversation_id is None:
            raise NotPossibleError(f"{self.user.name} has not opened a conversation yet.")
        return self._conversation_id

    @property
    def messages(self) -> list[Message]:
        """The messages on the screen."""
        conversation = self._switchboard.conversations.get(self.conversation_id)
        return [] if conversation is None else conversation.messages

    async def opens(self, creation_reason: str = "startConversation") -> str:
        """Open the widget; return the conversation's id."""
        conversation = self._switchboard.create_conversation(
            self.user,
            creation_reason,
            now=self._sandbox.clock.now(),
            metadata=dict(self.metadata),
        )
        self._conversation_id, self._read = conversation.id, 0
        return conversation.id

    async def says(self, text: str) -> Message:
        """Write a message; the first one opens the conversation."""
        await self._sandbox.pace()
        if self._conversation_id is None:
            await self.opens("message")
        return self._switchboard.user_says(
            self.conversation_id,
            text,
            now=self._sandbox.clock.now(),
        )

    async def taps(self, choice: str) -> None:
        """Tap the choice with this text or payload, in the newest message that has it."""
        await self._sandbox.pace()
        now = self._sandbox.clock.now()
        for message in reversed(self.messages):
            for action in _actions(message):
                if "payload" not in action or choice not in (
                    action["text"],
                    action["payload"],
                ):
                    continue
                if action["type"] == "reply":
                    self._switchboard.user_says(
                        self.conversation_id,
                        action["text"],
                        action["payload"],
                        now=now,
                    )
                else:
                    metadata: Json | None = action.get("metadata")
                    self._switchboard.user_taps(
                        self.conversation_id,
                        action["payload"],
                        metadata,
                        now=now,
                    )
                return
        raise NotPossibleError(f"No message offers the choice {choice!r}.")

    async def sends(self, content: Json, metadata: Json | None = None) -> Message:
        """Send content, such as `{"type": "image", …}`, with metadata of the channel."""
        if self._conversation_id is None:
            await self.opens("message")
        return self._switchboard.user_sends(
            self.conversation_id,
            content,
            metadata,
            now=self._sandbox.clock.now(),
        )

    async def is_referred(self, code: str, details: Json | None = None) -> None:
        """Arrive by a link, or by an ad described in `details`."""
        if self._conversation_id is None:
            await self.opens("linkRequest")
        self._switchboard.user_is_referred(
            self.conversation_id,
            code,
            details,
            now=self._sandbox.clock.now(),
        )

    async def fills_in(self, values: Mapping[str, str]) -> Message:
        """Fill in the newest form: one value per field name."""
        for message in reversed(self.messages):
            if message.content["type"] == "form":
                now = self._sandbox.clock.now()
                return self._switchboard.user_submits(
                    self.conversation_id,
                    message.id,
                    values,
                    now=now,
                )
        raise NotPossibleError("No message is a form.")

    async def waits_for(self, wanted: Wanted, timeout: float | None = None) -> Message:
        """Wait for a message from the business that is newer than the last one waited for.

        Args:
            wanted: a part of its text, or a predicate.
            timeout: in seconds, then `TimeoutError`. None: `WAIT_TIMEOUT`.
        """

        def look() -> Message | None:
            for position, message in enumerate(self.messages[self._read :], start=self._read):
                if _from_business(message) and _matches(message, wanted):
                    self._read = position + 1
                    return message
            return None

        shown = repr(wanted) if isinstance(wanted, str) else "a message"
        return await self._sandbox.until(look, timeout, f"{self.user.name} waits for {shown}")

    async def waits_until_closed(self, timeout: float | None = None) -> None:
        """Wait until nobody is active in the conversation."""

        def look() -> bool | None:
            return None if self._switchboard.is_open(self.conversation_id) else True

        await self._sandbox.until(
            look,
            timeout,
            f"{self.user.name} waits until the conversation is closed",
        )

    async def ends(self) -> None:
        """End the conversation."""
        await self._sandbox.pace()
        self._switchboard.user_ends(self.conversation_id, now=self._sandbox.clock.now())


class Agent:
    """An agent in the agent workspace, with one ticket at a time.

    Args:
        sandbox: the account.
        name: the agent's name.
    """

    def __init__(self, sandbox: Site, name: str) -> None:
        self._sandbox = sandbox
        self._switchboard = sandbox.switchboard
        self.name = name
        self._ticket: Ticket | None = None

    @property
    def ticket(self) -> Ticket:
        """The current ticket. Raises `NotPossibleError` before there is one."""
        if self._ticket is None:
            raise NotPossibleError(f"{self.name} has no ticket yet.")
        return self._ticket

    async def waits_for_ticket(
        self,
        visitor: Visitor | str | None = None,
        timeout: float | None = None,
    ) -> Ticket:
        """Wait for an open ticket, and take it.

        Args:
            visitor: the ticket's visitor or conversation; None: any ticket newer than the
                current one.
            timeout: in seconds, then `TimeoutError`. None: `WAIT_TIMEOUT`.
        """

        def look() -> Ticket | None:
            conversation_id = visitor.conversation_id if isinstance(visitor, Visitor) else visitor
            known = 0 if self._ticket is None or visitor is not None else self._ticket.number
            for ticket in self._switchboard.tickets:
                fits = conversation_id in (None, ticket.conversation_id) and ticket.number > known
                if fits and ticket.status is TicketStatus.OPEN and not ticket.session_over:
                    return ticket
            return None

        self._ticket = await self._sandbox.until(look, timeout, f"{self.name} waits for a ticket")
        return self._ticket

    async def waits_for(self, wanted: Wanted, timeout: float | None = None) -> Message:
        """Wait until the user has written a matching message in the conversation."""

        def look() -> Message | None:
            conversation = self._switchboard.conversations.get(self.ticket.conversation_id)
            said = [] if conversation is None else conversation.messages
            return next((m for m in said if not _from_business(m) and _matches(m, wanted)), None)

        return await self._sandbox.until(look, timeout, f"{self.name} waits for the user")

    async def says(self, text: str) -> Message:
        """Write to the user."""
        await self._sandbox.pace()
        return self._switchboard.agent_says(
            self.ticket.conversation_id,
            text,
            now=self._sandbox.clock.now(),
            agent=self.name,
        )

    async def solves(self) -> None:
        """Solve the ticket."""
        await self._sandbox.pace()
        self._switchboard.agent_solves(
            self.ticket.conversation_id,
            self._sandbox.clock.now(),
            self.name,
        )

    async def closes(self) -> None:
        """Close the ticket, as happens automatically four days after it was solved."""
        await self._sandbox.pace()
        self._switchboard.close_ticket(self.ticket.conversation_id, self._sandbox.clock.now())

    async def transfers_to_email(self) -> None:
        """Continue by e-mail."""
        self._switchboard.transfer_to_email(
            self.ticket.conversation_id,
            self._sandbox.clock.now(),
            self.name,
        )

    async def ends(self) -> None:
        """End the session."""
        self._switchboard.agent_ends(
            self.ticket.conversation_id,
            self._sandbox.clock.now(),
            self.name,
        )


def _actions(message: Message) -> list[Json]:
    """The actions below a message and on its cards."""
    content = message.content
    return [
        *(content.get("actions") or ()),
        *(action for card in content.get("items") or () for action in card["actions"]),
    ]


def _from_business(message: Message) -> bool:
    """Whether the message comes from the bot or an agent, not the user or the system."""
    return message.author["type"] == "business" and message.activity is None


def _matches(message: Message, wanted: Wanted) -> bool:
    return wanted in message.text if isinstance(wanted, str) else wanted(message)
