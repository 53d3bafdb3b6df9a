"""SQLite behind the interface: one file, one writer thread with group commit, one reader that never waits for it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from bot.control.state import Conversation
from bot.store import sqlite_claim, sqlite_inbox, sqlite_operators, sqlite_purge, sqlite_save, sqlite_watch
from bot.store.codec import StateRow, load_conversation
from bot.store.file_locks import wait_is_told
from bot.store.interface import Change, Counts, Database, Lease, SchemaMismatch, StoredEvent, Unavailable, Work
from bot.store.migrations import empty_database, enable_wal
from bot.store.operators import NEWEST, PAGE, TIMELINE, Access, Before, Listing, Page, RunAtWork, SetAside, Timeline
from bot.store.questions import CONVERSATIONS_OF, COUNTS, FLOWS, STATE, counts_of, overdue_before
from bot.store.rows import lost
from bot.store.schema import sqlite_problem, sqlite_uri
from bot.store.sqlite_errors import explain
from bot.store.sqlite_files import close_files
from bot.store.sqlite_presence import Presence
from bot.store.sqlite_scrub import Scrubbing
from bot.store.sqlite_writer import InlineRunner, OnTransaction, Runner, Session, ThreadRunner
from webhooks.inbox import NewEvent

_LOOKS_AT_ONCE = 200  # conversations in one operation, so that intake does not wait for thousands

_IN_MEMORY = ":memory:"


class SqliteStore:
    """A store on one SQLite file (write-ahead log, `synchronous=FULL`).

    Args:
        path: the file, migrated already; or ":memory:" together with `inline`, which makes an empty database that is
            gone with `stop`.
        inline: run every operation in the calling thread, with a commit each and no thread at all: for simulations in
            virtual time, where nothing may depend on the machine.
        on_transaction: called around each writing transaction with "begin", "before_commit", "after_commit", on the
            thread that runs it. What it raises reaches the callers; before the commit, it rolls back.
        busy_timeout: seconds for which to wait while another process has the file locked.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        inline: bool = False,
        on_transaction: OnTransaction | None = None,
        busy_timeout: float = 10.0,
    ) -> None:
        if str(path) == _IN_MEMORY and not inline:
            raise ValueError("a database in memory has a single connection: use it with inline=True")
        self._path = str(path)
        self._on_transaction = on_transaction
        self._busy_timeout = busy_timeout
        self._inline = inline
        self._shared: sqlite3.Connection | None = None  # inline: the connection of both sessions
        self._presence = Presence(self._path)
        self._scrubbing = Scrubbing(self._path, busy_timeout)
        self._writer: Runner
        self._reader: Runner
        if inline:
            self._writer, self._reader = InlineRunner(self._writing), InlineRunner(self._reading)
        else:
            self._writer = ThreadRunner("store-writer", self._writing)
            self._reader = ThreadRunner("store-reader", self._reading)

    async def start(self) -> None:
        """Open the file. Raises `SchemaMismatch` or another `Unavailable`."""
        await self._writer.start()
        try:
            await self._reader.start()
        except Unavailable:
            await self._writer.stop()
            raise

    async def stop(self) -> None:
        """Finish what is being written, and close."""
        await self._reader.stop()
        await self._writer.stop()
        self._presence.leave()
        self._shared = None

    async def join(self, until: datetime) -> int:
        """A worker begins: cut the leases of dead ones short, if it is certain that no other lives on this file."""
        if self._path == _IN_MEMORY or not await asyncio.to_thread(self._presence.enter):
            return 0
        try:
            return await self._writer.run(lambda connection: sqlite_claim.cut_leases(connection, until))
        finally:
            await asyncio.to_thread(self._presence.share)

    def listen(self, heard: Callable[[Iterable[str | None]], None]) -> None:
        """Nothing: SQLite tells nobody. Workers of other processes look often enough."""

    async def receive(self, events: Sequence[NewEvent]) -> int:
        """Store events that are not known yet and return how many were new. Durable on return."""
        if not events:
            return 0
        return await self._writer.run(sqlite_inbox.receiving(events))

    async def claim(self, *, owner: str, now: datetime, lease: timedelta, limit: int) -> list[Work]:
        """Lease up to `limit` conversations, those that have waited longest first.

        Of a conversation's events, at most `sqlite_claim.MOST_EVENTS` are loaded; `fetch` has the others.
        """
        return await self._writer.run(
            lambda connection: sqlite_claim.claim(connection, owner=owner, now=now, lease=lease, limit=limit)
        )

    async def fetch(self, lease: Lease) -> list[StoredEvent]:
        """The oldest unhandled events of a leased conversation. Raises `LeaseLost`."""
        return await self._reader.run(lambda connection: sqlite_claim.fetch(connection, lease))

    async def save(self, lease: Lease, change: Change, now: datetime) -> None:
        """Write a change. Raises `LeaseLost` or `UnsafeState`, and then nothing is written."""
        if await self._writer.run(lambda connection: sqlite_save.save(connection, lease, change, now)):
            await self._after_erasure()
            if not (change.forget or change.release):
                raise lost(lease)

    async def renew(self, lease: Lease, until: datetime) -> Lease:
        """Keep the lease until a later time. Raises `LeaseLost`."""
        return await self._writer.run(lambda connection: sqlite_claim.renew(connection, lease, until))

    async def next_due(self, now: datetime) -> datetime | None:
        """When the next claim can find something; None if nothing is ever due."""
        return await self._reader.run(lambda connection: sqlite_claim.next_due(connection, now))

    async def app_events(self, limit: int) -> list[StoredEvent]:
        """Unhandled events that belong to no single conversation, oldest first."""
        return await self._reader.run(lambda connection: sqlite_inbox.app_events(connection, limit))

    async def spread(self, event: StoredEvent, conversation_ids: Sequence[str], now: datetime) -> None:
        """Give an app-level event to each of the conversations, mark it handled and empty its own body."""
        await self._writer.run(lambda connection: sqlite_inbox.spread(connection, event, conversation_ids, now))

    async def set_aside(self, event_id: str, reason: str) -> None:
        """Set an event aside: shown to people, never taken up again by itself."""
        await self._writer.run(lambda connection: sqlite_inbox.set_aside(connection, event_id, reason))

    async def conversations_of(self, user_id: str) -> list[str]:
        """Ids of the conversations in which a user was seen."""

        def read(connection: sqlite3.Connection) -> list[str]:
            return [row[0] for row in connection.execute(CONVERSATIONS_OF, (user_id,))]

        return await self._reader.run(read)

    async def longest_pause(self, now: datetime, lately: datetime) -> timedelta:
        """The longest time without a new event, among those that ended after `lately` or last until now."""
        return await self._reader.run(lambda connection: sqlite_watch.longest_pause(connection, now, lately))

    async def look_again(self, *, since: datetime, first: datetime, spacing: timedelta, limit: int) -> int:
        """Let open conversations that the bot does not hold be read, one after the other."""
        ids = await self._reader.run(lambda connection: sqlite_watch.left_to_others(connection, since, limit))
        return await self._look_at(ids, first, spacing)

    async def look_at_unheard(self, *, since: datetime, first: datetime, spacing: timedelta, limit: int) -> int:
        """Let what the bot holds and has not heard of be read, one after the other."""
        ids = await self._reader.run(lambda connection: sqlite_watch.unheard(connection, since, limit))
        return await self._look_at(ids, first, spacing)

    async def _look_at(self, ids: Sequence[str], first: datetime, spacing: timedelta) -> int:
        done = 0
        for start in range(0, len(ids), _LOOKS_AT_ONCE):
            some, at = ids[start : start + _LOOKS_AT_ONCE], first + start * spacing
            done += await self._writer.run(partial(sqlite_watch.look_again, ids=some, first=at, spacing=spacing))
        return done

    async def remember_removal(self, user_id: str, now: datetime) -> None:
        """Remember a removed person: see `Store`."""
        if await self._writer.run(lambda connection: sqlite_save.remember_removal(connection, user_id, now)):
            await self._after_erasure()

    async def purge(self, before: datetime, limit: int) -> int:
        """Delete what is older than that and needed by nothing; how much was looked at."""
        looked_at = await self._writer.run(lambda connection: sqlite_purge.purge(connection, before, limit))
        self._scrubbing.purged += looked_at
        return looked_at

    async def scrub(self) -> None:
        """Leave nothing of what was deleted in the file and its log. Raises `Unavailable`."""
        await self._writer.run_bare(self._scrubbing.now_and_then)

    async def find(self, conversation_id: str) -> Conversation | None:
        """The state of one conversation."""

        def read(connection: sqlite3.Connection) -> Conversation | None:
            row = connection.execute(STATE, (conversation_id,)).fetchone()
            return None if row is None else load_conversation(StateRow(*row))

        return await self._reader.run(read)

    async def counts(self, now: datetime) -> Counts:
        """The numbers for metrics and the console."""

        def read(connection: sqlite3.Connection) -> Counts:
            row = connection.execute(COUNTS, {"overdue": overdue_before(now)}).fetchone()
            return counts_of(row, connection.execute(FLOWS).fetchall(), now)

        return await self._reader.run(read)

    async def conversations(self, listing: Listing) -> Page:
        """A page of conversations."""
        return await self._reader.run(lambda connection: sqlite_operators.conversations(connection, listing))

    async def timeline(self, conversation_id: str, limit: int = TIMELINE, before: Before = NEWEST) -> Timeline | None:
        """A stretch of a conversation's timeline."""
        return await self._reader.run(
            lambda connection: sqlite_operators.timeline(connection, conversation_id, limit, before)
        )

    async def runs_at_work(self, limit: int = PAGE, after: RunAtWork | None = None) -> list[RunAtWork]:
        """Conversations in which a flow is at work, by flow, version and id."""
        return await self._reader.run(lambda connection: sqlite_operators.runs_at_work(connection, limit, after))

    async def set_aside_events(self, limit: int = PAGE, before: int | None = None) -> list[SetAside]:
        """Events that were set aside, the newest first."""
        return await self._reader.run(lambda connection: sqlite_operators.set_aside_events(connection, limit, before))

    async def retry(self, event_id: str) -> NewEvent | None:
        """Let an event that was set aside be taken up again."""
        return await self._writer.run(lambda connection: sqlite_operators.retry(connection, event_id))

    async def order(self, order: NewEvent) -> bool:
        """Store what an operator asks of a conversation."""
        return await self._writer.run(lambda connection: sqlite_operators.order(connection, order))

    async def is_ordered(self, order_id: str) -> bool:
        """Tell whether an order is known."""
        return await self._reader.run(lambda connection: sqlite_operators.is_ordered(connection, order_id))

    async def end_session(self, session_id: str, until: datetime, now: datetime) -> None:
        """Remember until then that a session of the console was signed out. Durable on return."""
        await self._writer.run(lambda connection: sqlite_operators.end_session(connection, session_id, until, now))

    async def is_session_ended(self, session_id: str) -> bool:
        """Tell whether a session was signed out."""
        return await self._reader.run(lambda connection: sqlite_operators.is_session_ended(connection, session_id))

    async def audit(self, access: Access) -> None:
        """Add to the audit log. Durable on return."""
        await self._writer.run(lambda connection: sqlite_operators.audit(connection, access))

    async def audit_log(self, limit: int = PAGE, conversation_id: str | None = None) -> list[Access]:
        """The newest entries of the audit log."""
        return await self._reader.run(lambda connection: sqlite_operators.audit_log(connection, limit, conversation_id))

    async def ping(self) -> None:
        """Can it be read and written to, and is its schema current? Raises `Unavailable` otherwise."""
        await self._reader.run(_check_schema)
        await self._writer.run(lambda _: None)

    async def probe(self) -> None:
        """Write a row and remove it again. Raises `Unavailable` if it can't be stored."""
        await self._writer.run(sqlite_operators.probe)

    def for_another_loop(self) -> SqliteStore:
        """Return this store: its threads serve the coroutines of any loop."""
        return self

    async def _after_erasure(self) -> None:
        self._scrubbing.erased_something()
        with suppress(Unavailable):  # being closed: the last one to close truncates the log
            await self._writer.run_bare(self._scrubbing.after_erasure)

    def _writing(self) -> Session:
        return self._session(self._open(), "BEGIN IMMEDIATE", self._on_transaction)

    def _reading(self) -> Session:
        connection = self._open()
        if not self._inline:
            connection.execute("PRAGMA query_only = ON")
        return self._session(connection, "BEGIN", None)

    def _session(self, connection: sqlite3.Connection, begin: str, hook: OnTransaction | None) -> Session:
        return Session(connection, begin=begin, explain=lambda error: explain(error, self._path), on_transaction=hook)

    def _open(self) -> sqlite3.Connection:
        if self._shared is not None:
            return self._shared
        try:
            connection = self._connect()
        except sqlite3.Error as error:
            raise explain(error, self._path) from error
        try:
            with wait_is_told(self._path):
                _prepare(connection)
        except sqlite3.Error as error:
            connection.close()
            raise explain(error, self._path) from error
        except Unavailable:
            connection.close()
            raise
        if self._path != _IN_MEMORY:
            close_files(Path(self._path))
        if self._inline:
            self._shared = connection
        return connection

    def _connect(self) -> sqlite3.Connection:
        if self._path == _IN_MEMORY:
            connection = sqlite3.connect(_IN_MEMORY, isolation_level=None, cached_statements=256)
            connection.deserialize(empty_database())
            return connection
        if not Path(self._path).exists():
            raise SchemaMismatch(f"there is no database {self._path} yet: run `switchboard-bot migrate`")
        return sqlite3.connect(
            sqlite_uri(Path(self._path)),
            uri=True,
            timeout=self._busy_timeout,
            isolation_level=None,
            cached_statements=256,
            check_same_thread=not self._inline,
        )


def _prepare(connection: sqlite3.Connection) -> None:
    _check_schema(connection)
    enable_wal(connection)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA temp_store = MEMORY")  # or each statement of many rows would make a file of its own
    connection.execute("PRAGMA secure_delete = ON")  # what is forgotten is overwritten, and not only unlinked
    connection.execute("PRAGMA cache_size = -4096")  # KiB; the system keeps the file's pages, once for all
    connection.execute("PRAGMA journal_size_limit = 67108864")  # bytes


def _check_schema(connection: sqlite3.Connection) -> None:
    if (problem := sqlite_problem(connection)) is not None:
        raise SchemaMismatch(problem)


_conforms: type[Database] = SqliteStore  # for the type checker: every method is there, with its types
