"""The part of the storage interface for operators: what they see, and what they may order.

Every look costs no more than the page that it shows: it goes through an index that holds what is shown, in its order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from bot.control.history import Moment
from bot.control.state import Conversation, Duty, Proof
from bot.store.interface import Effect, JournalEntry
from webhooks.contacts import ContactKind
from webhooks.inbox import NewEvent

PAGE = 50
TIMELINE = 500
"""So many of the newest events, effects, duties and moments of a conversation are shown at once."""

LARGEST_SHOWN = 64 * 1024
"""Bytes of an event, effect or journal entry that operators are shown; a message of the platform has 4,096 characters
at most. Of anything larger only its size is read."""

HISTORY_LIMIT = 500
"""So many moments of a conversation are kept; the oldest go first."""


class Standing(StrEnum):
    """Which conversations to list. Each is sorted, filtered and shown by its `since`."""

    ALL = "all"  # since it was first heard of; the newest first
    HELD = "held"  # by the bot, since it is; the oldest first, like the next three
    OWED = "owed"  # a control action, since then
    OVERDUE = "overdue"  # the same, for more than a minute
    OPEN = "open"  # ended by the user and not proven released, since the end
    ENDED = "ended"  # by the user, since then; the newest first
    FAILED = "failed"  # a flow failed or an event was set aside, since the last time; the newest first
    MISMATCH = "mismatch"  # the platform acted as in the other control mode, since the first time; the newest first

    @property
    def newest_first(self) -> bool:
        """Return whether the newest come first; otherwise, those that have lasted longest."""
        return self in (Standing.ALL, Standing.ENDED, Standing.FAILED, Standing.MISMATCH)


@dataclass(frozen=True, slots=True)
class Place:
    """A position in a listing, after this conversation. `since` is None in a search, which is sorted by id."""

    id: str
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """Which page of which conversations.

    Attributes:
        standing: which.
        now: the bot's clock.
        until: only those whose `since` is at or before this time.
        search: instead of all that: those that are found by this text, whatever their standing, ordered by id. With it
            begins the conversation's or a user's id, a name or one of its words, an e-mail address, an external id, or
            a ticket's number; or the flow at work has that name.
        after: continue after this place.
        limit: at most so many.
    """

    standing: Standing
    now: datetime
    until: datetime | None = None
    search: str = ""
    after: Place | None = None
    limit: int = PAGE


@dataclass(frozen=True, slots=True)
class Listed:
    """One conversation in a listing.

    Attributes:
        since: the time that it is listed by (see `Standing`; in a search: first heard of).
        created_at: when the bot first heard of it.
        updated_at: when anything about it was last written.
        held_since: when the bot came to hold it, if it does.
        failed_at: when a flow last failed there or an event was set aside, if ever.
        contacts: what is known of its people, the newest of each kind; personal.
    """

    state: Conversation
    since: datetime
    created_at: datetime
    updated_at: datetime
    held_since: datetime | None = None
    failed_at: datetime | None = None
    contacts: Mapping[ContactKind, str] = field(default_factory=dict)

    @property
    def who(self) -> str:
        """Return the best known name of the user; empty if there is none."""
        return next((self.contacts[kind] for kind in ContactKind if kind in self.contacts), "")


@dataclass(frozen=True, slots=True)
class Page:
    """Conversations, and where the next page begins; None on the last page."""

    conversations: Sequence[Listed]
    next: Place | None = None


@dataclass(frozen=True, slots=True)
class PastEvent:
    """An event of a conversation.

    Attributes:
        status: pending, handled or set_aside.
        body: empty if it was erased (then `size` is 0) or is larger than `LARGEST_SHOWN`.
        size: of the stored body, in bytes.
    """

    id: str
    type: str
    received_at: datetime
    status: str
    handled_at: datetime | None
    reason: str | None
    body: bytes
    by_operator: bool = False
    size: int = 0


@dataclass(frozen=True, slots=True)
class PastEffect:
    """An effect of a conversation, finished (`outcome`, `finished_at`) or not; None if it can't be read."""

    id: str
    kind: str
    effect: Effect | None
    created_at: datetime
    attempts: int
    finished_at: datetime | None
    outcome: str | None


@dataclass(frozen=True, slots=True)
class PastDuty:
    """A duty of a conversation; `proof` where it is closed."""

    duty: Duty
    proof: Proof | None


@dataclass(frozen=True, slots=True)
class Before:
    """A position in a timeline: everything older than these rows of the five tables."""

    event: int = 2**63 - 1
    effect: int = 2**63 - 1
    duty: int = 2**63 - 1
    moment: int = 2**63 - 1
    step: int = 2**63 - 1


NEWEST = Before()
"""Where the newest stretch of a timeline begins."""


@dataclass(frozen=True, slots=True)
class Timeline:
    """Part of what is stored about one conversation, each kind oldest first.

    The parts reach equally far back, but for what is older than all that a part has.

    Attributes:
        journal: the steps of its runs.
        older: where the next older stretch begins; None if there is none.
    """

    listed: Listed
    events: Sequence[PastEvent]
    effects: Sequence[PastEffect]
    duties: Sequence[PastDuty]
    moments: Sequence[Moment]
    journal: Sequence[JournalEntry]
    older: Before | None = None


@dataclass(frozen=True, slots=True)
class RunAtWork:
    """A conversation in which a flow is at work.

    Attributes:
        state: of the conversation.
        journal: the whole journal of its run.
        flow, version: as the listing is ordered by; the name is empty where it is not recorded.
    """

    state: Conversation
    journal: Sequence[JournalEntry]
    flow: str
    version: int


@dataclass(frozen=True, slots=True)
class SetAside:
    """An event that could not be understood. `seq` is its place in the listing."""

    seq: int
    id: str
    conversation_id: str | None
    type: str
    received_at: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class Access:
    """An entry of the audit log: who did what, when, and to which conversation."""

    at: datetime
    who: str
    action: str
    conversation_id: str | None = None
    detail: str = ""


class OperatorStore(Protocol):
    """What a store does for operators. Every method is one transaction; `Unavailable` means that it did not happen."""

    async def conversations(self, listing: Listing) -> Page:
        """Return a page of conversations."""

    async def timeline(self, conversation_id: str, limit: int = TIMELINE, before: Before = NEWEST) -> Timeline | None:
        """Return the part of a timeline before a position, with at most `limit` rows of each kind.

        None where nothing is known of the conversation.
        """

    async def runs_at_work(self, limit: int = PAGE, after: RunAtWork | None = None) -> list[RunAtWork]:
        """Return conversations with a running flow, by flow, version and id, after a given one."""

    async def set_aside_events(self, limit: int = PAGE, before: int | None = None) -> list[SetAside]:
        """Return events that were set aside, newest first, before a `seq`."""

    async def retry(self, event_id: str) -> NewEvent | None:
        """Retry an event that was set aside. Return None if there is none with that id, or it was erased."""

    async def order(self, order: NewEvent) -> bool:
        """Store an operator's order among the conversation's events, marked by `StoredEvent.by_operator`.

        Durable on return. An id that is known already changes nothing, and gives False; so does a conversation that
        is not known (any more).
        """

    async def is_ordered(self, order_id: str) -> bool:
        """Return whether an order with that id is known, pending or done."""

    async def end_session(self, session_id: str, until: datetime, now: datetime) -> None:
        """Remember until then that a console session was signed out. Durable on return."""

    async def is_session_ended(self, session_id: str) -> bool:
        """Return whether a session was signed out."""

    async def audit(self, access: Access) -> None:
        """Add to the audit log. Durable on return."""

    async def audit_log(self, limit: int = PAGE, conversation_id: str | None = None) -> list[Access]:
        """Return the newest entries of the audit log, of one conversation or all, newest first."""
