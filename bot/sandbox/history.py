"""The platform's truth, append-only: who held when, what was said by whom, what ended. Checkers prove from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, overload


class Kind(StrEnum):
    """What happened."""

    CREATED = "conversation created"
    HOLDER = "holder"
    PENDING = "pending"
    MESSAGE = "message"
    POSTBACK = "postback"
    REFERRAL = "referral"
    ENDED = "ended by the user"
    REOPENED = "reopened"
    TICKET = "ticket"
    REFUSED = "refused"
    FAILURE = "failure"
    MERGED = "conversation merged away"
    REMOVED = "conversation removed"
    USER_REMOVED = "user removed"


class Cause(StrEnum):
    """Why control moved."""

    CREATED = "conversation created"
    DEFAULT_RESPONDER = "default responder, silently"
    PASS = "passControl"
    RELEASE = "releaseControl"
    ACCEPT = "acceptControl"
    SHORTHAND = "control shorthand in a message"
    USER_ENDED = "the user ended the conversation"
    TICKET_CLOSED = "the ticket was closed"
    TRANSFER_TO_EMAIL = "the ticket was transferred to e-mail"
    AGENT_ENDED = "an agent ended the session"
    AGENT_WROTE = "an agent wrote"
    MERGE = "users were merged"
    CONFIGURATION = "the switchboard integration was removed"


@dataclass(frozen=True, slots=True)
class Entry:
    """One fact.

    Attributes:
        number: its place in the history, from 0.
        at: when.
        kind: what.
        actor: who did it: `user:<id>`, `agent:<name>`, `platform`, or the id of an API key.
        conversation_id: where; None for what belongs to no single conversation.
        holder: name of the switchboard integration that is active *after* this entry; None: nobody.
        ended: had the user ended the conversation (after this entry)?
        cause: why control moved (kind HOLDER).
        before: who was active before (kind HOLDER).
        message_id: the message's or event's id (kinds MESSAGE, POSTBACK).
        text: what was said, or what happened in words.
        metadata: a message's, or a control action's.
        detail: the rest, by kind.
    """

    number: int
    at: datetime
    kind: Kind
    actor: str
    conversation_id: str | None
    holder: str | None = None
    ended: bool = False
    cause: Cause | None = None
    before: str | None = None
    message_id: str | None = None
    text: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    detail: Mapping[str, Any] = field(default_factory=dict)


class History(Sequence[Entry]):
    """All entries in their order."""

    def __init__(self) -> None:
        self._entries: list[Entry] = []

    @overload
    def __getitem__(self, index: int) -> Entry: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Entry]: ...
    def __getitem__(self, index: int | slice) -> Entry | Sequence[Entry]:
        return self._entries[index]

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries)

    def append(self, entry: Entry) -> None:
        """Add an entry; the model does that, nobody else."""
        self._entries.append(entry)

    def of(self, conversation_id: str, *kinds: Kind) -> list[Entry]:
        """The entries of a conversation, of the given kinds or of all."""
        return [
            entry
            for entry in self._entries
            if entry.conversation_id == conversation_id and (not kinds or entry.kind in kinds)
        ]

    def holders(self, conversation_id: str) -> list[tuple[datetime, str | None]]:
        """Who became active when, oldest first."""
        moved = self.of(conversation_id, Kind.HOLDER, Kind.MERGED, Kind.REMOVED)
        return [(entry.at, entry.holder) for entry in moved]

    def holder_at(self, conversation_id: str, moment: datetime) -> str | None:
        """Who was active at a moment (after everything that happened in it)."""
        holder = None
        for at, name in self.holders(conversation_id):
            if at > moment:
                break
            holder = name
        return holder

    def conversations(self) -> list[str]:
        """Ids of all conversations that ever were, in the order of their creation."""
        return [
            entry.conversation_id
            for entry in self._entries
            if entry.kind is Kind.CREATED and entry.conversation_id is not None
        ]
