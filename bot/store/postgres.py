"""PostgreSQL behind the interface: any number of processes, and no other coordination between them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from bot.control.state import Conversation
from bot.store import (
    postgres_claim,
    postgres_inbox,
    postgres_operators,
    postgres_purge,
    postgres_save,
    postgres_watch,
)
from bot.store.batches import Batches
from bot.store.codec import StateRow, load_conversation, unicode
from bot.store.interface import (
    Change,
    Counts,
    Database,
    Lease,
    SchemaMismatch,
    StoredEvent,
    StoreError,
    Unavailable,
    Work,
)
from bot.store.operators import NEWEST, PAGE, TIMELINE, Access, Before, Listing, Page, RunAtWork, SetAside, Timeline
from bot.store.postgres_errors import is_of_one
from bot.store.postgres_news import Heard, News, new_teller
from bot.store.postgres_pool import ANSWER, Pool
from bot.store.postgres_save import Saving
from bot.store.postgres_schema import problem_of
from bot.store.questions import CONVERSATIONS_OF, COUNTS, FLOWS, STATE, counts_of, overdue_before
from bot.store.rows import in_order, numbered
from bot.store.url import postgres_address
from webhooks.inbox import NewEvent

_CONVERSATIONS_OF, _ = numbered(CONVERSATIONS_OF)
_STATE, _ = numbered(STATE)
_COUNTS, _COUNTS_NAMES = numbered(COUNTS)
_FLOWS = numbered(FLOWS)[0]


class PostgresStore:
    """A store on a PostgreSQL database.

    Where the connection breaks before an answer came, `Unavailable` does not tell whether it happened. It need not: an
    event that is received again is known, a lease that nobody knows of runs out, and whoever can't save drops all that
    it has in hand and claims anew.

    Args:
        database_url: `postgresql://…`, migrated already.
        answer: seconds that a statement may take.
        teller: names this process in wake-ups: it does not hear its own.

    Raises:
        ValueError: the URL can't be used.
    """

    def __init__(self, database_url: str, *, answer: float = ANSWER, teller: str = "") -> None:
        self._url, self._answer, self._teller = database_url, answer, teller or new_teller()
        self._pool = Pool(postgres_address(database_url), answer=answer)
        self._news = News(self._pool, self._teller)
        self._unheard: list[tuple[str, datetime]] = []  # claims of which no answer came
        self._saves: Batches[Saving, None] = Batches(
            lambda savings: postgres_save.save(self._pool, savings),
            key=lambda saving: saving.lease.conversation_id,
            is_of_one=is_of_one,
        )
        self._renewals: Batches[tuple[Lease, datetime], Lease] = Batches(
            lambda renewals: postgres_claim.renew(self._pool, renewals),
            key=lambda renewal: renewal[0].conversation_id,
            is_of_one=is_of_one,
        )
        self._fetches: Batches[Lease, list[StoredEvent]] = Batches(
            lambda leases: postgres_claim.fetch(self._pool, leases),
            key=lambda lease: lease.conversation_id,
            is_of_one=is_of_one,
        )

    async def start(self) -> None:
        """Connect. Raises `SchemaMismatch` or another `Unavailable`."""
        await self._pool.start()
        try:
            await self.ping()
        except Unavailable:
            await self._pool.stop()
            raise

    async def stop(self) -> None:
        """Finish what is being written, and close."""
        await self._news.stop()
        for batches in (self._saves, self._renewals, self._fetches):
            await batches.stop()
        await self._pool.stop()

    async def join(self, until: datetime) -> int:
        """A worker begins: cut the leases of processes short that are certainly dead.

        That is known of processes of this machine; the leases of others run out in their time.
        """
        return await postgres_claim.cut_leases(self._pool, until)

    async def receive(self, events: Sequence[NewEvent]) -> int:
        """Store events that are not known yet and return how many were new. Durable on return."""
        if not events:
            return 0
        new = await postgres_inbox.receive(self._pool, events)
        if new:
            self._news.tell(event.conversation_id for event in events)
        return new

    def listen(self, heard: Heard) -> None:
        """Call `heard` with the conversations of which other processes have stored events."""
        self._news.listen(heard)

    async def claim(self, *, owner: str, now: datetime, lease: timedelta, limit: int) -> list[Work]:
        """Lease up to `limit` conversations, those that have waited longest first.

        Of a conversation's events, at most `sqlite_claim.MOST_EVENTS` are loaded; `fetch` has the others.
        """
        while self._unheard:
            await postgres_claim.give_back(self._pool, *self._unheard[0])
            del self._unheard[0]
        try:
            return await postgres_claim.claim(self._pool, owner=owner, now=now, lease=lease, limit=limit)
        except StoreError:
            self._unheard.append((owner, now + lease))
            raise

    async def fetch(self, lease: Lease) -> list[StoredEvent]:
        """The oldest unhandled events of a leased conversation. Raises `LeaseLost`."""
        return await self._fetches.do(lease)

    async def save(self, lease: Lease, change: Change, now: datetime) -> None:
        """Write a change. Raises `LeaseLost` or `UnsafeState`, and then nothing is written."""
        if change.state.id != lease.conversation_id:
            raise StoreError(f"a lease of {lease.conversation_id} can't write the state of {change.state.id}")
        await self._saves.do(Saving(lease, change, now))

    async def renew(self, lease: Lease, until: datetime) -> Lease:
        """Keep the lease until a later time. Raises `LeaseLost`."""
        return await self._renewals.do((lease, until))

    async def next_due(self, now: datetime) -> datetime | None:
        """When the next claim can find something; None if nothing is ever due."""
        return await postgres_claim.next_due(self._pool, now)

    async def app_events(self, limit: int) -> list[StoredEvent]:
        """Unhandled events that belong to no single conversation, oldest first."""
        return await postgres_inbox.app_events(self._pool, limit)

    async def spread(self, event: StoredEvent, conversation_ids: Sequence[str], now: datetime) -> None:
        """Give an app-level event to each of the conversations, mark it handled and empty its own body."""
        await postgres_inbox.spread(self._pool, event, conversation_ids, now)

    async def set_aside(self, event_id: str, reason: str) -> None:
        """Set an event aside: shown to people, never taken up again by itself."""
        await postgres_inbox.set_aside(self._pool, event_id, reason)

    async def conversations_of(self, user_id: str) -> list[str]:
        """Ids of the conversations in which a user was seen."""
        return [row[0] for row in await self._pool.fetch(_CONVERSATIONS_OF, unicode(user_id))]

    async def longest_pause(self, now: datetime, lately: datetime) -> timedelta:
        """The longest time without a new event, among those that ended after `lately` or last until now."""
        return await postgres_watch.longest_pause(self._pool, now, lately)

    async def look_again(self, *, since: datetime, first: datetime, spacing: timedelta, limit: int) -> int:
        """Let open conversations that the bot does not hold be read, one after the other."""
        ids = await postgres_watch.left_to_others(self._pool, since, limit)
        return await postgres_watch.look_again(self._pool, ids, first, spacing)

    async def look_at_unheard(self, *, since: datetime, first: datetime, spacing: timedelta, limit: int) -> int:
        """Let what the bot holds and has not heard of be read, one after the other."""
        ids = await postgres_watch.unheard(self._pool, since, limit)
        return await postgres_watch.look_again(self._pool, ids, first, spacing)

    async def remember_removal(self, user_id: str, now: datetime) -> None:
        """A person was removed: a conversation in which `save` sees them from now on is forgotten."""
        await postgres_save.remember_removal(self._pool, user_id, now)

    async def purge(self, before: datetime, limit: int) -> int:
        """Delete what is older than that and needed by nothing; how much was looked at."""
        return await postgres_purge.purge(self._pool, before, limit)

    async def scrub(self) -> None:
        """Nothing: see `postgres_purge`."""

    async def find(self, conversation_id: str) -> Conversation | None:
        """The state of one conversation."""
        rows = await self._pool.fetch(_STATE, unicode(conversation_id))
        return load_conversation(StateRow(*rows[0])) if rows else None

    async def counts(self, now: datetime) -> Counts:
        """The numbers for metrics and the console."""
        rows = await self._pool.fetch(_COUNTS, *in_order(_COUNTS_NAMES, {"overdue": overdue_before(now)}))
        return counts_of(tuple(rows[0]), await self._pool.fetch(_FLOWS), now)

    async def conversations(self, listing: Listing) -> Page:
        """A page of conversations."""
        return await postgres_operators.conversations(self._pool, listing)

    async def timeline(self, conversation_id: str, limit: int = TIMELINE, before: Before = NEWEST) -> Timeline | None:
        """A stretch of a conversation's timeline."""
        return await postgres_operators.timeline(self._pool, conversation_id, limit, before)

    async def runs_at_work(self, limit: int = PAGE, after: RunAtWork | None = None) -> list[RunAtWork]:
        """Conversations in which a flow is at work, by flow, version and id."""
        return await postgres_operators.runs_at_work(self._pool, limit, after)

    async def set_aside_events(self, limit: int = PAGE, before: int | None = None) -> list[SetAside]:
        """Events that were set aside, the newest first."""
        return await postgres_operators.set_aside_events(self._pool, limit, before)

    async def retry(self, event_id: str) -> NewEvent | None:
        """Let an event that was set aside be taken up again."""
        event = await postgres_operators.retry(self._pool, event_id)
        if event:
            self._news.tell([event.conversation_id])
        return event

    async def order(self, order: NewEvent) -> bool:
        """Store what an operator asks of a conversation."""
        stored = await postgres_operators.order(self._pool, order)
        if stored:
            self._news.tell([order.conversation_id])
        return stored

    async def is_ordered(self, order_id: str) -> bool:
        """Tell whether an order is known."""
        return await postgres_operators.is_ordered(self._pool, order_id)

    async def end_session(self, session_id: str, until: datetime, now: datetime) -> None:
        """Remember until then that a session of the console was signed out. Durable on return."""
        await postgres_operators.end_session(self._pool, session_id, until, now)

    async def is_session_ended(self, session_id: str) -> bool:
        """Tell whether a session was signed out."""
        return await postgres_operators.is_session_ended(self._pool, session_id)

    async def audit(self, access: Access) -> None:
        """Add to the audit log. Durable on return."""
        await postgres_operators.audit(self._pool, access)

    async def audit_log(self, limit: int = PAGE, conversation_id: str | None = None) -> list[Access]:
        """The newest entries of the audit log."""
        return await postgres_operators.audit_log(self._pool, limit, conversation_id)

    async def ping(self) -> None:
        """Does it answer, and is its schema current? Raises `Unavailable` otherwise."""
        if (problem := await self._pool.run(problem_of)) is not None:
            raise SchemaMismatch(problem)

    async def probe(self) -> None:
        """Write a row and remove it again. Raises `Unavailable` if it can't be stored."""
        await postgres_operators.probe(self._pool)

    def for_another_loop(self) -> PostgresStore:
        """Return another store of the same process: connections belong to the loop that opened them."""
        return PostgresStore(self._url, answer=self._answer, teller=self._teller)


_conforms: type[Database] = PostgresStore  # for the type checker: every method is there, with its types
