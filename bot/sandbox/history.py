"""The platform's append-only history, the source of truth for checks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, overload


class Kind(StrEnum):
    """The kind of an entry."""

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
    """The reason for a move of control."""

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
    """One entry of the history.

    Attributes:
        number: its position in the history, from 0.
        at: the time.
        kind: the kind of entry.
        actor: `user:<id>`, `agent:<name>`, `platform`, or the id of an API key.
        conversation_id: the conversation; None if the entry belongs to no single one.
        holder: name of the active switchboard integration *after* this entry; None for
            nobody.
        ended: whether the user had ended the conversation, after this entry.
        cause: the reason for the move of control (kind HOLDER).
        before: the previously active integration (kind HOLDER).
        message_id: the message's or event's id (kinds MESSAGE, POSTBACK).
        text: the words, or a description.
        metadata: of the message or control action.
        detail: other values, by kind.
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
    """All entries, in order."""

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
        """Add an entry; only the model does that."""
        self._entries.append(entry)

    def of(self, conversation_id: str, *kinds: Kind) -> list[Entry]:
        """The entries of a conversation, of the given kinds or of all."""
        return [
            entry
            for entry in self._entries
            if entry.conversation_id == conversation_id and (not kinds or entry.kind in kinds)
        ]

    def holders(self, conversation_id: str) -> list[tuple[datetime, str | None]]:
        """The holders of a conversation with the times they became active, oldest first."""
        moved = self.of(conversation_id, Kind.HOLDER, Kind.MERGED, Kind.REMOVED)
        return [(entry.at, entry.holder) for entry in moved]

    def holder_at(self, conversation_id: str, moment: datetime) -> str | None:
        """The holder at a moment, after everything that happened in it."""
        holder = None
        for at, name in self.holders(conversation_id):
            if at > moment:
                break
            holder = name
        return holder

    def conversations(self) -> list[str]:
        """Ids of all conversations ever created, in that order."""
        return [
            entry.conversation_id
            for entry in self._entries
            if entry.kind is Kind.CREATED and entry.conversation_id is not None
        ]
