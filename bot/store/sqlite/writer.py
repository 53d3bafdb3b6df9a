"""Runs operations on SQLite: waiting ones share a transaction, and each succeeds or fails on its own.

An operation is a function of the connection, and of nothing that it changes: where another one of the transaction fails
it is run once more. Its caller hears of it only after the commit.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, Protocol, TypeVar

from bot.store.interface import Unavailable, own

T = TypeVar("T")
Operation = Callable[[sqlite3.Connection], T]
OnTransaction = Callable[[str], None]
"""Called with "begin", "before_commit" and "after_commit"; what it raises before the commit rolls back."""

_MOST_AT_ONCE = 512


@dataclass(frozen=True, slots=True)
class Statement:
    """An operation of one statement. Its result is the number of rows it touched.

    Alone it needs no transaction around it. That saves two statements, and so a few waits for the interpreter's lock,
    which under load last longer than what they are for.
    """

    sql: str
    values: Sequence[Any] = ()

    def __call__(self, connection: sqlite3.Connection) -> int:
        """Run it."""
        return connection.execute(self.sql, self.values).rowcount


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of an operation: its result, or its error."""

    result: Any = None
    error: BaseException | None = None


class Session:
    """A connection, and how operations run on it."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        *,
        begin: str,
        explain: Callable[[Exception], Exception],
        on_transaction: OnTransaction | None = None,
    ) -> None:
        self.connection = connection
        self._begin = begin
        self._explain = explain
        self._notify = on_transaction or (lambda _: None)

    def run(self, operations: Sequence[Operation[Any]]) -> list[Outcome]:
        """Run all in one transaction. A failing operation undoes only itself.

        Raises:
            Unavailable: the transaction could not begin, go on or commit, and nothing of it was done.
        """
        try:
            self._notify("begin")
            self._roll_back()  # only if a rollback failed before: a disk that was out of order
            match operations:
                case [Statement() as statement]:
                    self._notify("before_commit")
                    outcomes = [Outcome(statement(self.connection))]
                case _:
                    self.connection.execute(self._begin)
                    outcomes = self._run_all(operations)
                    self._notify("before_commit")
                    if self.connection.in_transaction:
                        self.connection.execute("COMMIT")
        except BaseException as error:
            with suppress(sqlite3.Error):
                self._roll_back()
            if isinstance(error, sqlite3.Error):
                raise self._explain(error) from error
            raise
        self._notify("after_commit")
        return outcomes

    def run_bare(self, operation: Operation[Any]) -> Outcome:
        """Run one operation outside of any transaction, as SQLite requires for work on the whole file."""
        try:
            self._roll_back()
            return Outcome(operation(self.connection))
        except Exception as error:  # noqa: BLE001 - it goes to the caller
            return Outcome(error=self._explain(error))

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()

    def _run_all(self, operations: Sequence[Operation[Any]]) -> list[Outcome]:
        """Run all without savepoints. If one fails, undo all, and rerun each in its own savepoint."""
        try:
            return [Outcome(operation(self.connection)) for operation in operations]
        except Exception as error:  # whatever it is, it is for the caller of that operation alone
            if not self.connection.in_transaction:  # SQLite has rolled back everything: disk full, I/O error
                raise
            self._roll_back()
            if len(operations) == 1:
                return [Outcome(error=self._explain(error))]
        self.connection.execute(self._begin)
        return [self._run_one(operation) for operation in operations]

    def _run_one(self, operation: Operation[Any]) -> Outcome:
        self.connection.execute("SAVEPOINT operation")
        try:
            result = operation(self.connection)
        except Exception as error:  # as above
            if not self.connection.in_transaction:
                raise
            self.connection.execute("ROLLBACK TO operation")
            self.connection.execute("RELEASE operation")
            return Outcome(error=self._explain(error))
        self.connection.execute("RELEASE operation")
        return Outcome(result)

    def _roll_back(self) -> None:
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK")


class Runner(Protocol):
    """Runs operations for coroutines."""

    async def start(self) -> None:
        """Open the connection."""

    async def run(self, operation: Operation[T]) -> T:
        """Run an operation; return only after its commit."""

    async def run_bare(self, operation: Operation[T]) -> T:
        """Run an operation outside of any transaction, after all that were queued before it."""

    async def stop(self) -> None:
        """Finish waiting operations, and close."""


class InlineRunner:
    """Runs each operation at once in the calling thread, so that the order is always the same."""

    def __init__(self, open_session: Callable[[], Session]) -> None:
        self._open = open_session
        self._session: Session | None = None

    async def start(self) -> None:
        """Open the connection."""
        self._session = self._open()

    async def run(self, operation: Operation[T]) -> T:
        """Run an operation in a transaction of its own."""
        result: T = self._result(self._opened().run([operation])[0])
        return result

    async def run_bare(self, operation: Operation[T]) -> T:
        """Run an operation outside of any transaction."""
        result: T = self._result(self._opened().run_bare(operation))
        return result

    async def stop(self) -> None:
        """Close the connection."""
        if self._session is not None:
            self._session.close()
            self._session = None

    def _opened(self) -> Session:
        if self._session is None:
            raise Unavailable("the store is not open")
        return self._session

    @staticmethod
    def _result(outcome: Outcome) -> Any:
        if outcome.error is not None:
            raise outcome.error
        return outcome.result


@dataclass(frozen=True, slots=True)
class _Job:
    operation: Operation[Any]
    future: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop
    bare: bool = False

    @classmethod
    def of(cls, operation: Operation[Any], *, bare: bool = False) -> _Job:
        loop = asyncio.get_running_loop()
        return cls(operation, loop.create_future(), loop, bare)


class ThreadRunner:
    """Runs operations on its own thread, waiting ones in one transaction, and wakes their loop once."""

    def __init__(self, name: str, open_session: Callable[[], Session]) -> None:
        self._name = name
        self._open = open_session
        self._waiting: SimpleQueue[_Job | None] = SimpleQueue()  # None: stop
        self._thread: threading.Thread | None = None

    async def start(self) -> None:
        """Open the connection, on the thread."""
        opened = _Job.of(lambda _: None)
        self._thread = threading.Thread(target=self._work, args=(opened,), name=self._name, daemon=True)
        self._thread.start()
        try:
            await opened.future
        except BaseException:
            self._thread = None
            raise

    async def run(self, operation: Operation[T]) -> T:
        """Run an operation. If cancelled while it waits, it does not run; if cancelled later, it may have run."""
        result: T = await self._run(_Job.of(operation))
        return result

    async def run_bare(self, operation: Operation[T]) -> T:
        """Run an operation outside of any transaction, after all that were queued before it."""
        result: T = await self._run(_Job.of(operation, bare=True))
        return result

    async def _run(self, job: _Job) -> Any:
        if self._thread is None or not self._thread.is_alive():
            raise Unavailable("the store is not open")
        self._waiting.put(job)
        return await job.future

    async def stop(self) -> None:
        """Finish waiting operations, and close."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._waiting.put(None)
            await asyncio.to_thread(thread.join)

    def _work(self, opened: _Job) -> None:
        try:
            session = self._open()
        except Exception as error:  # noqa: BLE001 - `start` raises it
            _answer([(opened, Outcome(error=error))])
            return
        _answer([(opened, Outcome())])
        stopping = False
        while not stopping:
            jobs, stopping = self._take()
            jobs = [job for job in jobs if not job.future.cancelled()]
            if together := [job for job in jobs if not job.bare]:
                _answer(list(zip(together, _run(session, together), strict=True)))
            for job in jobs:
                if job.bare:
                    _answer([(job, session.run_bare(job.operation))])
        session.close()

    def _take(self) -> tuple[list[_Job], bool]:
        """Return the waiting operations, at least one, and whether to stop."""
        jobs: list[_Job] = []
        item = self._waiting.get()
        while item is not None:
            jobs.append(item)
            if len(jobs) >= _MOST_AT_ONCE:
                return jobs, False
            try:
                item = self._waiting.get_nowait()
            except Empty:
                return jobs, False
        return jobs, True


def _run(session: Session, jobs: Sequence[_Job]) -> list[Outcome]:
    try:
        return session.run([job.operation for job in jobs])
    except Exception as error:  # noqa: BLE001 - every caller is to be told, and the thread lives on
        return [Outcome(error=own(error)) for _ in jobs]


def _answer(answers: Sequence[tuple[_Job, Outcome]]) -> None:
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Any], Outcome]]] = defaultdict(list)
    for job, outcome in answers:
        by_loop[job.loop].append((job.future, outcome))
    for loop, settled in by_loop.items():
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(_settle, settled)


def _settle(settled: Sequence[tuple[asyncio.Future[Any], Outcome]]) -> None:
    for future, outcome in settled:
        if future.done():
            continue
        if outcome.error is not None:
            future.set_exception(outcome.error)
        else:
            future.set_result(outcome.result)
