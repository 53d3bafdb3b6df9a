"""The storage interface that both engines implement, and the values that cross it.

Everything that a conversation's turn changes is one `Change`, saved in one transaction under the lease of the
worker that made it. No SQL and no engine shows here.
"""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from typing import Any, Protocol

from bot.control.commands import Call
from bot.control.history import Moment
from bot.control.state import Conversation, Duty, Proof
from webhooks.contacts import Contact
from webhooks.inbox import NewEvent

SAFETY = "conversations_safe"
"""Name of the CHECK constraint that holds the invariant of `control.state`."""

UNSAFE = (
    "refused: the bot holds this conversation, or it has ended without proof of release, "
    "and no time is set at which to look at it again"
)


PROBE_BYTES = 64 * 1024
"""Size of the row that shows whether anything can be stored: a full disk may still have room for a small one."""


class StoreError(Exception):
    """The database could not do what was asked. Nothing was done.

    StoreError
    ├── LeaseLost           another worker has the conversation now (or it was erased): drop everything
    ├── UnsafeState         the state breaks the invariant of `control.state`: it can't be stored, by nobody
    └── Unavailable         the database can't be reached, is full, or locked for too long: try again later
        └── SchemaMismatch  its schema is not the one of this version: the message says what to run
    """


class LeaseLost(StoreError):
    """Somebody else works on this conversation. Nothing was written."""


class UnsafeState(StoreError):
    """The database refuses a state with open obligations and no time to look at it again."""


class Unavailable(StoreError):
    """The database is out of reach, full, or locked for too long."""


class SchemaMismatch(Unavailable):
    """The database has no schema yet, or an older or a newer one than this version of the bot."""


def own(error: BaseException) -> BaseException:
    """Copy an error for each of several callers. A shared one would collect all their tracebacks."""
    if isinstance(error, CancelledError):
        return StoreError("the store was stopped meanwhile")
    if not isinstance(error, StoreError):
        return error
    copy = type(error)(*error.args)
    copy.__cause__ = error.__cause__
    return copy


@dataclass(frozen=True, slots=True)
class Say:
    """A message of a flow. `content` is the API's message content; `metadata` the flow's own."""

    effect_id: str
    run_id: int
    content: Mapping[str, Any]
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CleanUp:
    """A function to call after a flow's run. Nothing else in the conversation waits for it.

    Attributes:
        function: `module:name`.
        args, kwargs: JSON.
        attempts: how often to try.
        timeout: seconds for each attempt.
        outcome: how the run ended (`bot.flows.outcome`); rows of earlier versions don't tell.
    """

    effect_id: str
    run_id: int
    function: str
    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    attempts: int = 1
    timeout: float = 30.0
    outcome: str = "unknown"


Effect = Say | CleanUp | Call


@dataclass(frozen=True, slots=True)
class Done:
    """An effect that is over.

    Attributes:
        effect_id: its id.
        outcome: how it went, in words ("accepted", "said", "refused: …", "dropped").
        attempts: tries that had failed before.
        call: the control action or read that it was, and `since` when it was wanted: no row has told that so far.
    """

    effect_id: str
    outcome: str
    attempts: int = 0
    call: Call | None = None
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event of the inbox. `body` is the event as posted (JSON), or an operator's order (`by_operator`)."""

    id: str
    conversation_id: str | None
    type: str
    body: bytes
    received_at: datetime
    by_operator: bool = False


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One step of a run.

    Attributes:
        index: counts from 0 within the run.
        kind, key: what it is known by (`bot.flows.steps`).
        data: JSON, of about `size` characters.
        at: when it was recorded, by the bot's clock; None where an earlier version of the bot has stored it.
    """

    run_id: int
    index: int
    kind: str
    key: str
    data: Any = None
    size: int = field(default=0, compare=False)
    at: datetime | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work on a conversation: only the holder of the newest `epoch` can save."""

    conversation_id: str
    owner: str
    epoch: int
    until: datetime


@dataclass(frozen=True, slots=True)
class Work:
    """A claimed conversation, with everything its turn needs.

    Attributes:
        events: not yet handled, in the order of arrival.
        inputs: the events that `state.run.opening` and `state.inputs` name and that are not among `events`.
        unsent: what the messages and clean-ups of `state.unsent` say and call, in their order. One that can't be read
            is missing; one that the state does not name was left by a version that lost it.
        journal: the entries of `state.run`, in order.
    """

    lease: Lease
    state: Conversation
    events: Sequence[StoredEvent] = ()
    inputs: Sequence[StoredEvent] = ()
    unsent: Sequence[Say | CleanUp] = ()
    journal: Sequence[JournalEntry] = ()


@dataclass(slots=True)
class Change:
    """Everything that one step of a turn writes, in one transaction.

    Attributes:
        state: the new state.
        handled: ids of events that have taken effect.
        set_aside: ids of events that can't be understood, each with the reason.
        add: what new messages and clean-ups of `state.unsent` say and call, in their order.
        done: effects that are over.
        journal: new steps, of the run that is at work or of one that this change ends. They stay for as long as what
            was said (`purge`).
        closed_duties: duties that are over, with their proof. `state.duty` itself is recorded by `save`.
        history: what has changed for good, in order.
        users: ids of users seen in the conversation (needed to erase a person).
        contacts: what these users are found by. Erased with the conversation.
        forget: erase everything that is stored about the conversation: effects, journal, duties, history, participants,
            contacts, and the bodies of its events (their ids stay, to know a late retry by). If `state.gone`, also
            itself, and its events that wait and that still come. Otherwise events neither in `handled` nor in
            `set_aside` still wait, and the conversation begins anew with `state`. Nothing else of the change is
            written, and the lease is over.
        release: give the lease back. The lease is over with it: nothing can be saved or renewed under it any more.
    """

    state: Conversation
    handled: list[str] = field(default_factory=list)
    set_aside: list[tuple[str, str]] = field(default_factory=list)
    add: list[Say | CleanUp] = field(default_factory=list)
    done: list[Done] = field(default_factory=list)
    journal: list[JournalEntry] = field(default_factory=list)
    closed_duties: list[tuple[Duty, Proof]] = field(default_factory=list)
    history: list[Moment] = field(default_factory=list)
    users: set[str] = field(default_factory=set)
    contacts: set[Contact] = field(default_factory=set)
    forget: bool = False
    release: bool = False

    def copy(self) -> Change:
        """Return a copy to add to."""
        values: Any = [getattr(self, name) for name in _CHANGES]
        kept: Any = [value.copy() if isinstance(value, _ADDED_TO) else value for value in values]
        return Change(*kept)


_CHANGES = tuple(field.name for field in fields(Change))
_ADDED_TO = (list, set)


@dataclass(frozen=True, slots=True)
class Counts:
    """The numbers an operator sees at a glance. Ages in seconds.

    `flows` has the number of conversations in which a flow is at work, by its name (empty: not recorded) and version.
    """

    held: int
    owed: int
    overdue: int
    oldest_owed_seconds: float
    ended_open: int
    set_aside: int
    inbox: int
    outbox: int
    flows: Mapping[tuple[str, int], int] = field(default_factory=dict)


class Store(Protocol):
    """The database for edge and engine. Each method is one transaction; after `Unavailable`, nothing happened."""

    async def start(self) -> None:
        """Open the database. Raises `Unavailable`; `SchemaMismatch` if it must be migrated first."""

    async def stop(self) -> None:
        """Finish pending writes, and close."""

    async def join(self, until: datetime) -> int:
        """Register a worker until `stop`. Call this before its first claim.

        Where it is certain that no other worker lives, nobody will renew or give back the leases that there are: they
        then run out at `until` at the latest. Returns how many were cut short; 0 also where it is not certain.

        Raises `Unavailable` if the worker can't be made known to others.
        """

    def listen(self, heard: Callable[[Iterable[str | None]], None]) -> None:
        """Call `heard` with conversations that got events from other processes; None stands for app-level events.

        Only a wake-up: it may be missed, and does nothing where an engine has no such thing. Until `stop`.
        """

    async def receive(self, events: Sequence[NewEvent]) -> int:
        """Store events that are not known yet. Return how many were new. Durable on return."""

    async def claim(self, *, owner: str, now: datetime, lease: timedelta, limit: int) -> list[Work]:
        """Lease up to `limit` conversations that have events or are due, and that nobody else has leased.

        A conversation of which nothing but an event is known is created. A lease that ran out before `now` is
        taken over, with a higher epoch.
        """

    async def fetch(self, lease: Lease) -> list[StoredEvent]:
        """Return a leased conversation's unhandled events in order of arrival. Raises `LeaseLost`.

        At most some hundreds: the next call has those that follow, once these are handled.
        """

    async def save(self, lease: Lease, change: Change, now: datetime) -> None:
        """Write a change, all or nothing.

        Effects that are done, and events to handle, that are over already or belong to another conversation are
        passed over. Where a user is removed (`remember_removal`), everything is forgotten as with `forget`, and the
        conversation begins anew with `state.begun_anew(now)`. After `forget` of one that is gone, events that still
        come for it are dropped by `claim`.

        Raises:
            LeaseLost: `lease.epoch` is not the newest any more; or a user is removed, so that all was forgotten, and
                what the change was to be followed by must not be done.
            UnsafeState: the state breaks the invariant of `control.state`.
            StoreError: an effect id or a journal entry is there already.
        """

    async def renew(self, lease: Lease, until: datetime) -> Lease:
        """Extend the lease. Raises `LeaseLost`."""

    async def next_due(self, now: datetime) -> datetime | None:
        """Return when the next claim can find something: `now` if it already can; None if never."""

    async def app_events(self, limit: int) -> list[StoredEvent]:
        """Return unhandled app-level events (user:merge, …), oldest first.

        Removals of people (user:remove) come alone, before all others: an erasure waits behind nothing.
        """

    async def spread(self, event: StoredEvent, conversation_ids: Sequence[str], now: datetime) -> None:
        """Copy an app-level event to each of the conversations, and mark it handled.

        The copies have the ids `<event id>:<conversation id>`. Of the event itself the body is emptied. Conversations
        that nobody works on are claimed next.
        """

    async def set_aside(self, event_id: str, reason: str) -> None:
        """Set an event aside: operators see it, and only they can retry it.

        It is emptied if it names a person who was removed. Nobody knows what an event means that can't be understood,
        so the person's id counts wherever it stands.
        """

    async def conversations_of(self, user_id: str) -> list[str]:
        """Return the ids of the conversations in which a user was seen."""

    async def longest_pause(self, now: datetime, lately: datetime) -> timedelta:
        """Return the longest pause between events, of those that ended after `lately` or still last."""

    async def look_again(self, *, since: datetime, first: datetime, spacing: timedelta, limit: int) -> int:
        """Schedule reads of open conversations that the bot does not hold, one by one. Return how many.

        Args:
            since: only those that have changed since then, the newest first.
            first: when the first is to be read.
            spacing: between one and the next.
            limit: at most so many.
        """

    async def look_at_unheard(self, *, since: datetime, first: datetime, spacing: timedelta, limit: int) -> int:
        """Schedule reads of conversations that the bot holds and has not heard of. Return how many.

        Args:
            since: only those of which no event came in since then, the longest held first.
            first: when the first is to be read, unless it is to be read sooner anyway.
            spacing: between one and the next.
            limit: at most so many.
        """

    async def remember_removal(self, user_id: str, now: datetime) -> None:
        """Remember a removed person. From now on, `save` forgets each conversation in which they appear.

        Events that were set aside and name the person are emptied, also those of other conversations or of none.
        """

    async def purge(self, before: datetime, limit: int) -> int:
        """Delete a small part of what is older and no longer needed, without a table scan.

        Goes: events that are handled or set aside, finished effects, and steps of runs that are over; once nothing is
        left of these, nothing is due or owed in a conversation and nothing happened there since `before`, all of it;
        what says that something or somebody was removed; and the entries of the audit log. Stays: events that wait or
        that the state names (a run's opening, its inputs), open effects, the journal of the run at work, and as long as
        their conversation does, its duties with their proofs, its history and its participants. So nothing is known any
        more of an event id that comes again after so long.

        Args:
            before: days ago; deliveries may be repeated for some minutes.
            limit: at most so many conversations, other events and removals.

        Returns:
            How many of these were looked at; 0 if nothing is left to do. What could not go yet is put off by a day.
        """

    async def scrub(self) -> None:
        """Remove deleted data from the database's files too, as far as running work allows.

        To be called now and then; after `save` with `forget`, an engine does what it can at once by itself.
        """

    async def find(self, conversation_id: str) -> Conversation | None:
        """Return the state of one conversation."""

    async def counts(self, now: datetime) -> Counts:
        """Return the numbers for metrics and the console."""

    async def ping(self) -> None:
        """Check that the database is reachable and its schema current. Raises `Unavailable`."""
