"""Operations share a transaction and nothing else: an error stays with its operation, a failed commit undoes all."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from store_samples import claimed, everything, handled, held, opened, saved, say

from bot.store import LeaseLost, SchemaMismatch, StoreError, Unavailable, UnsafeState
from bot.store.sqlite.errors import explain
from bot.store.sqlite.writer import InlineRunner, OnTransaction, Operation, Outcome, Session, Statement, ThreadRunner

BOTH = Statement("INSERT INTO numbers VALUES (1), (2)")


class Crash(Exception):
    """The process dies here."""


def _raise_at(moment: str, error: Exception) -> OnTransaction:
    def hook(now: str) -> None:
        if now == moment:
            raise error

    return hook


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, timeout=0)
    connection.execute("CREATE TABLE IF NOT EXISTS numbers (n INTEGER PRIMARY KEY)")
    return connection


def _session(connection: sqlite3.Connection, hook: OnTransaction | None = None) -> Session:
    return Session(
        connection, begin="BEGIN IMMEDIATE", explain=lambda error: explain(error, "bot.db"), on_transaction=hook
    )


def _insert(number: int) -> Operation[int]:
    def operation(connection: sqlite3.Connection) -> int:
        connection.execute("INSERT INTO numbers VALUES (?)", (number,))
        return number

    return operation


def _insert_and(number: int, error: Exception) -> Operation[int]:
    def operation(connection: sqlite3.Connection) -> int:
        connection.execute("INSERT INTO numbers VALUES (?)", (number,))
        raise error

    return operation


def _numbers(path: Path) -> list[int]:
    connection = _connect(path)
    try:
        return [row[0] for row in connection.execute("SELECT n FROM numbers ORDER BY n")]
    finally:
        connection.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "numbers.db"


@pytest.fixture
def connection(path: Path) -> Iterator[sqlite3.Connection]:
    connection = _connect(path)
    yield connection
    connection.close()


class TestSession:
    """One transaction, many operations."""

    def test_isolation(self, connection: sqlite3.Connection, path: Path) -> None:
        """An operation that fails undoes what it wrote, and nothing of the others."""
        lost = LeaseLost("gone")
        outcomes = _session(connection).run([_insert(1), _insert_and(2, lost), _insert(1), _insert(3)])
        assert outcomes[:2] == [Outcome(1), Outcome(error=lost)]
        assert isinstance(outcomes[2].error, StoreError)
        assert outcomes[3] == Outcome(3)
        assert _numbers(path) == [1, 3]

    @pytest.mark.parametrize(("moment", "kept"), [("begin", []), ("before_commit", []), ("after_commit", [1])])
    def test_crash(self, connection: sqlite3.Connection, path: Path, moment: str, kept: list[int]) -> None:
        """Whoever dies before the commit has written nothing; after it, everything."""
        with pytest.raises(Crash):
            _session(connection, _raise_at(moment, Crash())).run([_insert(1)])
        assert _numbers(path) == kept
        assert _session(connection).run([_insert(2)]) == [Outcome(2)]

    def test_moments(self, connection: sqlite3.Connection) -> None:
        """The hook hears of each transaction once, in order."""
        heard: list[str] = []
        _session(connection, heard.append).run([_insert(1), _insert(2)])
        assert heard == ["begin", "before_commit", "after_commit"]

    @pytest.mark.parametrize(("moment", "kept"), [("begin", []), ("before_commit", []), ("after_commit", [1, 2])])
    def test_crash_of_one_statement(
        self, connection: sqlite3.Connection, path: Path, moment: str, kept: list[int]
    ) -> None:
        """A single statement is a transaction by itself, which begins and ends like all others."""
        with pytest.raises(Crash):
            _session(connection, _raise_at(moment, Crash())).run([BOTH])
        assert _numbers(path) == kept
        assert _session(connection).run([_insert(3)]) == [Outcome(3)]

    def test_one_statement(self, connection: sqlite3.Connection, path: Path) -> None:
        """Alone or among others it does all or nothing."""
        heard: list[str] = []
        session = _session(connection, heard.append)
        assert session.run([BOTH]) == [Outcome(2)]
        assert heard == ["begin", "before_commit", "after_commit"]
        with pytest.raises(StoreError, match="UNIQUE"):
            session.run([Statement("INSERT INTO numbers VALUES (3), (?)", (2,))])
        outcomes = session.run([_insert(4), Statement("INSERT INTO numbers VALUES (5), (?)", (4,)), _insert(6)])
        assert isinstance(outcomes[1].error, StoreError)
        assert _numbers(path) == [1, 2, 4, 6]

    def test_one_statement_locked_out(self, connection: sqlite3.Connection, path: Path) -> None:
        """While another process writes, it fails like all others."""
        other = _connect(path)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match="another process kept it locked"):
            _session(connection).run([BOTH])
        other.close()
        assert _session(connection).run([BOTH]) == [Outcome(2)]

    def test_failing_commit(self, connection: sqlite3.Connection, path: Path) -> None:
        """A commit that SQLite refuses leaves nothing behind, and the next transaction works."""
        connection.executescript(
            "PRAGMA foreign_keys = ON; CREATE TABLE child (n REFERENCES numbers DEFERRABLE INITIALLY DEFERRED)"
        )

        def orphan(connection: sqlite3.Connection) -> None:
            connection.execute("INSERT INTO child VALUES (9)")

        with pytest.raises(StoreError, match="FOREIGN KEY"):
            _session(connection).run([_insert(1), orphan])
        assert _numbers(path) == []
        assert _session(connection).run([_insert(2)]) == [Outcome(2)]

    def test_rolled_back_by_sqlite(self, connection: sqlite3.Connection, path: Path) -> None:
        """Where SQLite itself rolls back everything (disk full), no operation counts as done."""

        def full(connection: sqlite3.Connection) -> None:
            connection.execute("ROLLBACK")
            raise sqlite3.OperationalError("database or disk is full")

        with pytest.raises(Unavailable):
            _session(connection).run([_insert(1), full, _insert(2)])
        assert _numbers(path) == []

    def test_locked(self, connection: sqlite3.Connection, path: Path) -> None:
        """While another process writes, nothing is done, and the sentence says who is in the way."""
        other = _connect(path)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match="another process kept it locked"):
            _session(connection).run([_insert(1)])
        other.execute("ROLLBACK")
        other.close()
        assert _session(connection).run([_insert(1)]) == [Outcome(1)]


class TestInlineRunner:
    """Every operation at once, in the caller's thread."""

    async def test_results_and_errors(self, connection: sqlite3.Connection) -> None:
        """Results are returned and errors raised, in the calling thread."""
        runner = InlineRunner(lambda: _session(connection))
        await runner.start()
        assert await runner.run(_insert(1)) == 1
        with pytest.raises(StoreError, match="UNIQUE"):
            await runner.run(_insert(1))
        assert await runner.run(lambda _: threading.get_ident()) == threading.get_ident()


class TestThreadRunner:
    """All that waits shares a transaction on the runner's thread."""

    @pytest.fixture
    def commits(self) -> list[str]:
        return []

    @pytest.fixture
    def runner(self, path: Path, commits: list[str]) -> ThreadRunner:
        return ThreadRunner("test-writer", lambda: _session(_connect(path), commits.append))

    async def test_group_commit(self, runner: ThreadRunner, commits: list[str], path: Path) -> None:
        """Of a hundred operations that wait, one fails, and there are far fewer commits than operations."""
        await runner.start()
        gate = threading.Event()
        first = asyncio.ensure_future(runner.run(lambda _: gate.wait(10)))
        many = [asyncio.ensure_future(runner.run(_insert(n % 99))) for n in range(100)]
        await asyncio.sleep(0)
        gate.set()
        outcomes = await asyncio.gather(first, *many, return_exceptions=True)
        await runner.stop()
        assert [type(outcome) for outcome in outcomes if isinstance(outcome, Exception)] == [StoreError]
        assert _numbers(path) == list(range(99))
        assert commits.count("after_commit") <= 2

    async def test_answers_come_after_the_commit(self, path: Path) -> None:
        """Whoever has an answer can rely on it: another connection sees the row."""
        runner = ThreadRunner("test-writer", lambda: _session(_connect(path)))
        await runner.start()
        for number in range(20):
            await runner.run(_insert(number))
            assert _numbers(path) == list(range(number + 1))
        await runner.stop()

    async def test_failing_commit_fails_all(self, path: Path) -> None:
        """All that shared the transaction hear that it did not happen, each with an error of its own."""
        broken = threading.Event()
        broken.set()

        def hook(moment: str) -> None:
            if moment == "before_commit" and broken.is_set():
                raise sqlite3.OperationalError("disk I/O error")

        runner = ThreadRunner("test-writer", lambda: _session(_connect(path), hook))
        await runner.start()
        gate = threading.Event()
        first = asyncio.ensure_future(runner.run(lambda _: gate.wait(10)))
        many = [asyncio.ensure_future(runner.run(_insert(n))) for n in range(10)]
        await asyncio.sleep(0)
        gate.set()
        outcomes = await asyncio.gather(first, *many, return_exceptions=True)
        broken.clear()
        assert await runner.run(_insert(77)) == 77
        await runner.stop()
        assert all(isinstance(outcome, Unavailable) for outcome in outcomes)
        assert len({id(outcome) for outcome in outcomes}) == len(outcomes)
        assert _numbers(path) == [77]

    async def test_other_error(self, path: Path) -> None:
        """Whatever goes wrong around a transaction reaches the caller, and the thread lives on."""
        errors: list[Exception] = [Crash()]

        def hook(moment: str) -> None:
            if errors:
                raise errors.pop()

        runner = ThreadRunner("test-writer", lambda: _session(_connect(path), hook))
        await runner.start()
        with pytest.raises(Crash):
            await runner.run(_insert(1))
        assert await runner.run(_insert(2)) == 2
        await runner.stop()
        assert _numbers(path) == [2]

    async def test_cancelled_while_running(self, runner: ThreadRunner, path: Path) -> None:
        """What is cancelled while it runs is finished all the same, and disturbs nobody."""
        await runner.start()
        gate, running = threading.Event(), threading.Event()

        def slow(connection: sqlite3.Connection) -> None:
            running.set()
            assert gate.wait(10)
            connection.execute("INSERT INTO numbers VALUES (1)")

        cancelled = asyncio.ensure_future(runner.run(slow))
        assert await asyncio.to_thread(running.wait, 10)
        cancelled.cancel()
        gate.set()
        assert await runner.run(_insert(2)) == 2
        await runner.stop()
        assert cancelled.cancelled()
        assert _numbers(path) == [1, 2]

    async def test_cancelled_while_waiting(self, runner: ThreadRunner, path: Path) -> None:
        """What was cancelled before its turn is not run."""
        await runner.start()
        gate = threading.Event()
        first = asyncio.ensure_future(runner.run(lambda _: gate.wait(10)))
        await asyncio.sleep(0)
        cancelled = asyncio.ensure_future(runner.run(_insert(1)))
        await asyncio.sleep(0)
        cancelled.cancel()
        await asyncio.sleep(0)
        gate.set()
        await first
        await runner.stop()
        assert _numbers(path) == []

    async def test_stop_finishes_what_waits(self, runner: ThreadRunner, path: Path) -> None:
        """A stop loses nothing that was asked for before it."""
        await runner.start()
        waiting = [asyncio.ensure_future(runner.run(_insert(n))) for n in range(50)]
        await asyncio.sleep(0)
        await runner.stop()
        assert await asyncio.gather(*waiting) == list(range(50))
        assert _numbers(path) == list(range(50))

    async def test_can_not_open(self) -> None:
        """An error while opening is raised by the start, and the runner stays closed."""

        def fail() -> Session:
            raise Unavailable("no disk")

        runner = ThreadRunner("test-writer", fail)
        with pytest.raises(Unavailable, match="no disk"):
            await runner.start()
        with pytest.raises(Unavailable, match="not open"):
            await runner.run(_insert(1))
        await runner.stop()


class TestStore:
    """The store on such a session."""

    @pytest.mark.parametrize("moment", ["begin", "before_commit"])
    async def test_crash(self, moment: str) -> None:
        """A process that dies before the commit has changed nothing."""
        armed: list[str] = []

        def hook(now: str) -> None:
            if now in armed:
                raise RuntimeError(now)

        async with opened(hook) as store:
            work = await claimed(store)
            before = await everything(store)
            armed.append(moment)
            with pytest.raises(RuntimeError):
                await saved(store, work, held(), handled=handled(work), add=[say("s1")], users={"u1"}, release=True)
            assert await everything(store) == before
            armed.clear()
            await saved(store, work, held(), handled=handled(work))


def _error(make: Callable[[str], Exception], text: str, name: str | None = None) -> Exception:
    error = make(text)
    if name is not None:
        error.sqlite_errorname = name  # type: ignore[attr-defined]
    return error


@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        (_error(sqlite3.OperationalError, "full", "SQLITE_FULL"), Unavailable, "disk is full"),
        (_error(sqlite3.OperationalError, "ro", "SQLITE_READONLY_DBMOVED"), Unavailable, "permissions"),
        (_error(sqlite3.OperationalError, "io", "SQLITE_IOERR_FSYNC"), Unavailable, "check the disk"),
        (_error(sqlite3.DatabaseError, "malformed", "SQLITE_CORRUPT"), Unavailable, "restore a backup"),
        (_error(sqlite3.OperationalError, "odd"), Unavailable, "SQLite refused"),
        (_error(sqlite3.OperationalError, "no such table: inbox"), SchemaMismatch, "switchboard-bot migrate"),
        (_error(sqlite3.IntegrityError, "CHECK constraint failed: conversations_safe"), UnsafeState, "no time is set"),
        (_error(sqlite3.IntegrityError, "UNIQUE constraint failed"), StoreError, "UNIQUE"),
        (_error(sqlite3.ProgrammingError, "wrong number of bindings"), sqlite3.ProgrammingError, "bindings"),
        (LeaseLost("gone"), LeaseLost, "gone"),
    ],
)
def test_explain(error: Exception, kind: type[Exception], says: str) -> None:
    """Every error of SQLite becomes one of the store, with advice; mistakes in our own code stay what they are."""
    explained = explain(error, "bot.db")
    assert type(explained) is kind
    assert says in str(explained)
