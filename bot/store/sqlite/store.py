"""The store on SQLite: one file, one writer thread with group commit, one reader that never waits for it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

from bot.signals import Observe, silent
from bot.store import purge
from bot.store.asking import Ask
from bot.store.database import Database
from bot.store.interface import Change, Lease, SchemaMismatch, StoredEvent, Unavailable, Work
from bot.store.migrations import empty_database, enable_wal
from bot.store.rows import lost
from bot.store.shared import SharedStore
from bot.store.sqlite import claim, inbox, save
from bot.store.sqlite.asked import answered
from bot.store.sqlite.errors import explain
from bot.store.sqlite.files import close_files
from bot.store.sqlite.locks import wait_is_told
from bot.store.sqlite.presence import Presence
from bot.store.sqlite.purge import WORDS
from bot.store.sqlite.schema import problem_of, uri
from bot.store.sqlite.scrub import Scrubbing
from bot.store.sqlite.writer import InlineRunner, OnTransaction, Runner, Session, ThreadRunner
from webhooks.inbox import NewEvent

T = TypeVar("T")

_IN_MEMORY = ":memory:"


class SqliteStore(SharedStore):
    """A store on one SQLite file (write-ahead log, `synchronous=FULL`).

    Args:
        path: the file, migrated already; or ":memory:" together with `inline`, which makes an empty database that is
            gone with `stop`.
        inline: run every operation in the calling thread, with a commit each and no thread at all: for simulations in
            virtual time, where nothing may depend on the machine.
        on_transaction: called around each writing transaction with "begin", "before_commit", "after_commit", on the
            thread that runs it. What it raises reaches the callers; before the commit, it rolls back.
        busy_timeout: seconds for which to wait while another process has the file locked.
        observe: gets what is to be told; called on any thread.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        inline: bool = False,
        on_transaction: OnTransaction | None = None,
        busy_timeout: float = 10.0,
        observe: Observe = silent,
    ) -> None:
        if str(path) == _IN_MEMORY and not inline:
            raise ValueError("a database in memory has a single connection: use it with inline=True")
        self._path = str(path)
        self._on_transaction = on_transaction
        self._busy_timeout = busy_timeout
        self._inline = inline
        self._observe = observe
        self._shared: sqlite3.Connection | None = None  # inline: the connection of both sessions
        self._presence = Presence(self._path, observe)
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
        """Finish pending writes, and close."""
        await self._reader.stop()
        await self._writer.stop()
        self._presence.leave()
        self._shared = None

    async def join(self, until: datetime) -> int:
        """Register a worker. If no other worker is alive on this file, shorten the leases of dead ones."""
        if self._path == _IN_MEMORY or not await asyncio.to_thread(self._presence.enter):
            return 0
        try:
            return await self._writer.run(lambda connection: claim.cut_leases(connection, until))
        finally:
            await asyncio.to_thread(self._presence.share)

    def listen(self, heard: Callable[[Iterable[str | None]], None]) -> None:
        """Do nothing: SQLite has no notifications, so workers of other processes poll."""

    def _tell(self, conversation_ids: Iterable[str | None]) -> None:
        pass

    async def receive(self, events: Sequence[NewEvent]) -> int:
        """Store events that are not known yet. Return how many were new. Durable on return."""
        if not events:
            return 0
        return await self._writer.run(inbox.receiving(events))

    async def claim(self, *, owner: str, now: datetime, lease: timedelta, limit: int) -> list[Work]:
        """Lease up to `limit` conversations, longest wait first.

        Of a conversation's events, at most `claim.MOST_EVENTS` are loaded; `fetch` has the others.
        """
        return await self._writer.run(
            lambda connection: claim.claim(connection, self._observe, owner=owner, now=now, lease=lease, limit=limit)
        )

    async def fetch(self, lease: Lease) -> list[StoredEvent]:
        """Return the oldest unhandled events of a leased conversation. Raises `LeaseLost`."""
        return await self._reader.run(lambda connection: claim.fetch(connection, lease))

    async def save(self, lease: Lease, change: Change, now: datetime) -> None:
        """Write a change. Raises `LeaseLost` or `UnsafeState`, and then nothing is written."""
        if await self._writer.run(lambda connection: save.save(connection, lease, change, now)):
            await self._after_erasure()
            if not (change.forget or change.release):
                raise lost(lease)

    async def renew(self, lease: Lease, until: datetime) -> Lease:
        """Extend the lease. Raises `LeaseLost`."""
        return await self._writer.run(lambda connection: claim.renew(connection, lease, until))

    async def next_due(self, now: datetime) -> datetime | None:
        """Return when the next claim can find something; None if never."""
        return await self._reader.run(lambda connection: claim.next_due(connection, now))

    async def set_aside(self, event_id: str, reason: str) -> None:
        """Set an event aside: operators see it, and only they can retry it."""
        await self._writer.run(lambda connection: inbox.set_aside(connection, event_id, reason))

    async def remember_removal(self, user_id: str, now: datetime) -> None:
        """Remember a removed person: see `Store`."""
        if await self._writer.run(lambda connection: save.remember_removal(connection, user_id, now)):
            await self._after_erasure()

    async def purge(self, before: datetime, limit: int) -> int:
        """Delete what is older and no longer needed. Return how much was examined."""
        looked_at = await self._transact(partial(purge.everything, WORDS, before, limit))
        self._scrubbing.purged += looked_at
        return looked_at

    async def scrub(self) -> None:
        """Remove deleted data from the file and its log. Raises `Unavailable`."""
        await self._writer.run_bare(self._scrubbing.now_and_then)

    async def _read(self, ask: Ask[T]) -> T:
        return await self._reader.run(partial(answered, ask))

    async def _write(self, ask: Ask[T]) -> T:
        return await self._writer.run(partial(answered, ask))

    _transact = _write  # an operation always is

    async def ping(self) -> None:
        """Check that the file is readable and writable, and its schema current. Raises `Unavailable`."""
        await self._reader.run(_check_schema)
        await self._writer.run(lambda _: None)

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
            with wait_is_told(self._path, self._observe):
                _prepare(connection)
        except sqlite3.Error as error:
            connection.close()
            raise explain(error, self._path) from error
        except Unavailable:
            connection.close()
            raise
        if self._path != _IN_MEMORY:
            close_files(Path(self._path), self._observe)
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
            uri(Path(self._path)),
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
    if (problem := problem_of(connection)) is not None:
        raise SchemaMismatch(problem)


_conforms: type[Database] = SqliteStore  # for the type checker: every method is there, with its types
