"""The store on PostgreSQL, for any number of processes that coordinate through it alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

from bot.signals import Observe, silent
from bot.store import purge
from bot.store.asking import Ask
from bot.store.database import Database
from bot.store.interface import (
    Change,
    Lease,
    SchemaMismatch,
    StoredEvent,
    StoreError,
    Unavailable,
    Work,
    own,
)
from bot.store.postgres import claim, inbox, save
from bot.store.postgres.connection import answered
from bot.store.postgres.errors import is_of_one
from bot.store.postgres.news import Heard, News, new_teller
from bot.store.postgres.pool import ANSWER, Pool
from bot.store.postgres.purge import WORDS
from bot.store.postgres.save import Saving
from bot.store.postgres.schema import problem_of
from bot.store.shared import SharedStore
from bot.store.url import postgres_address
from webhooks.batches import Batches
from webhooks.inbox import NewEvent

Item = TypeVar("Item")
T = TypeVar("T")


class PostgresStore(SharedStore):
    """A store on a PostgreSQL database.

    Where the connection breaks before an answer came, `Unavailable` does not tell whether it happened. It need not: an
    event that is received again is known, a lease that nobody knows of runs out, and whoever can't save drops all that
    it has in hand and claims anew.

    Args:
        database_url: `postgresql://…`, migrated already.
        answer: seconds that a statement may take.
        teller: names this process in wake-ups: it does not hear its own.
        observe: gets what is to be told.

    Raises:
        ValueError: the URL can't be used.
    """

    def __init__(
        self, database_url: str, *, answer: float = ANSWER, teller: str = "", observe: Observe = silent
    ) -> None:
        self._observe = observe
        self._url, self._answer, self._teller = database_url, answer, teller or new_teller()
        self._pool = Pool(postgres_address(database_url), answer=answer, observe=observe)
        self._news = News(self._pool, self._teller, observe)
        self._unheard: list[tuple[str, datetime]] = []  # claims of which no answer came
        self._saves: Batches[Saving, None] = Batches(
            lambda savings: save.save(self._pool, savings),
            key=lambda saving: saving.lease.conversation_id,
            is_of_one=is_of_one,
        )
        self._renewals: Batches[tuple[Lease, datetime], Lease] = Batches(
            lambda renewals: claim.renew(self._pool, renewals),
            key=lambda renewal: renewal[0].conversation_id,
            is_of_one=is_of_one,
        )
        self._fetches: Batches[Lease, list[StoredEvent]] = Batches(
            lambda leases: claim.fetch(self._pool, leases),
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
        """Finish pending writes, and close."""
        await self._news.stop()
        for batches in (self._saves, self._renewals, self._fetches):
            await batches.stop()
        await self._pool.stop()

    async def join(self, until: datetime) -> int:
        """Register a worker: shorten the leases of processes that are certainly dead.

        That is known of processes of this machine; the leases of others run out in their time.
        """
        return await claim.cut_leases(self._pool, until)

    async def receive(self, events: Sequence[NewEvent]) -> int:
        """Store events that are not known yet. Return how many were new. Durable on return."""
        if not events:
            return 0
        new = await inbox.receive(self._pool, events)
        if new:
            self._tell(event.conversation_id for event in events)
        return new

    def _tell(self, conversation_ids: Iterable[str | None]) -> None:
        self._news.tell(conversation_ids)

    async def _read(self, ask: Ask[T]) -> T:
        return await self._pool.run(partial(answered, ask))

    _write = _read

    async def _transact(self, ask: Ask[T]) -> T:
        return await self._pool.transaction(partial(answered, ask))

    def listen(self, heard: Heard) -> None:
        """Call `heard` with conversations that got events from other processes."""
        self._news.listen(heard)

    async def claim(self, *, owner: str, now: datetime, lease: timedelta, limit: int) -> list[Work]:
        """Lease up to `limit` conversations, longest wait first.

        Of a conversation's events, at most `claim.MOST_EVENTS` are loaded; `fetch` has the others.
        """
        while self._unheard:
            await claim.give_back(self._pool, *self._unheard[0])
            del self._unheard[0]
        try:
            return await claim.claim(self._pool, self._observe, owner=owner, now=now, lease=lease, limit=limit)
        except StoreError:
            self._unheard.append((owner, now + lease))
            raise

    async def fetch(self, lease: Lease) -> list[StoredEvent]:
        """Return the oldest unhandled events of a leased conversation. Raises `LeaseLost`."""
        return await _done(self._fetches, lease)

    async def save(self, lease: Lease, change: Change, now: datetime) -> None:
        """Write a change. Raises `LeaseLost` or `UnsafeState`, and then nothing is written."""
        if change.state.id != lease.conversation_id:
            raise StoreError(f"a lease of {lease.conversation_id} can't write the state of {change.state.id}")
        await _done(self._saves, Saving(lease, change, now))

    async def renew(self, lease: Lease, until: datetime) -> Lease:
        """Extend the lease. Raises `LeaseLost`."""
        return await _done(self._renewals, (lease, until))

    async def next_due(self, now: datetime) -> datetime | None:
        """Return when the next claim can find something; None if never."""
        return await claim.next_due(self._pool, now)

    async def set_aside(self, event_id: str, reason: str) -> None:
        """Set an event aside: operators see it, and only they can retry it."""
        await inbox.set_aside(self._pool, event_id, reason)

    async def remember_removal(self, user_id: str, now: datetime) -> None:
        """Remember a removed person. From now on, `save` forgets each conversation in which they appear."""
        await save.remember_removal(self._pool, user_id, now)

    async def purge(self, before: datetime, limit: int) -> int:
        """Delete what is older and no longer needed. Return how much was examined."""
        return sum([await self._transact(partial(part, WORDS, before, limit)) for part in purge.PARTS])

    async def scrub(self) -> None:
        """Do nothing: see `purge`."""

    async def ping(self) -> None:
        """Check that it answers, and that its schema is current. Raises `Unavailable`."""
        if (problem := await self._pool.run(problem_of)) is not None:
            raise SchemaMismatch(problem)

    def for_another_loop(self) -> PostgresStore:
        """Return another store of the same process: connections belong to the loop that opened them."""
        return PostgresStore(self._url, answer=self._answer, teller=self._teller, observe=self._observe)


async def _done(batches: Batches[Item, T], item: Item) -> T:
    """Run one operation in a batch with others. Raises its own error."""
    outcome = await batches.put(item)
    if isinstance(outcome, BaseException):
        raise own(outcome)
    return outcome


_conforms: type[Database] = PostgresStore  # for the type checker: every method is there, with its types
