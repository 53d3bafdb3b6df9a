"""Migrations as operators meet them: several at once, a database of an older version, somebody else's tables."""

from __future__ import annotations

import asyncio
import re
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from postgres_server import PostgresServer, in_a_loop
from tiers import combined, some

from bot.control.state import Kind
from bot.store import CleanUp, SchemaMismatch, StoreError, Unavailable, current_problem, migrate, open_store
from bot.store.postgres.schema import SCHEMA, qualified
from bot.store.schema import HEAD, TABLES, VERSION_TABLE

SCHEMAS = Path(__file__).with_name("schemas")
OUTBOX = "seq, effect_id, conversation_id, kind, created_at, attempts, status, finished_at, outcome, body"
OLD_TABLES = ("inbox", "outbox", "journal", "duties", "participants", "removed", "removed_users", "history", "audit")
NOW = datetime(2026, 11, 22, 12, 5, tzinfo=UTC)

_RACER = """
import sys
from bot.store import current_problem, migrate
from bot.store import migrations

enable_wal = migrations.enable_wal

def at_the_lock(connection):
    print("ready", flush=True)
    sys.stdin.readline()
    enable_wal(connection)

migrations.enable_wal = at_the_lock
migrate(sys.argv[1])
assert current_problem(sys.argv[1]) is None
"""


@contextmanager
def _racers(url: str, count: int) -> Iterator[list[subprocess.Popen[str]]]:
    """Start processes that migrate. They end with the block, whatever happens in it."""
    command = [sys.executable, "-c", _RACER, url]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    racers = [subprocess.Popen(command, **pipes, text=True) for _ in range(count)]  # noqa: S603
    try:
        yield racers
    finally:
        for racer in racers:
            racer.kill()
            racer.communicate()


def _finish(racers: list[subprocess.Popen[str]]) -> None:
    """Let all go, wait for all, and expect that none has failed."""
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    errors = [racer.communicate(timeout=60)[1] for racer in racers]
    assert [racer.returncode for racer in racers] == [0] * len(racers), errors


class TestRace:
    """Of processes that migrate at the same time all succeed, and it is done once."""

    @pytest.mark.parametrize("count", some([2, 6], count=0))
    def test_sqlite(self, tmp_path: Path, count: int) -> None:
        """Each has seen that there is no table before any of them begins."""
        with _racers(f"sqlite:///{tmp_path / 'bot.db'}", count) as racers:
            for racer in racers:
                assert racer.stdout is not None
                assert racer.stdout.readline() == "ready\n"
            _finish(racers)

    @pytest.mark.parametrize(
        ("isolation", "count"), combined(("repeatable read", 2), ("repeatable read", 6), ("read committed", 6))
    )
    def test_postgres(self, postgres: PostgresServer, isolation: str, count: int) -> None:
        """Each has seen that there is no table and waits for the lock before any of them begins.

        The one who waited has to see what the one before has committed, whatever the database's default isolation.
        """
        url = postgres.new_database(migrated=False)
        (name,) = re.findall(r"/(test\d+)", url)
        postgres.query(f"ALTER DATABASE {name} SET default_transaction_isolation = '{isolation}'")
        with _holding_migration_lock(url) as release, _racers(url, count) as racers:
            for _ in range(1000):
                if _waiting(postgres, url) == count:
                    break
                assert all(racer.poll() is None for racer in racers)
            assert _waiting(postgres, url) == count
            release()
            _finish(racers)
        assert current_problem(url) is None
        postgres.drop_database(url)


def _waiting(postgres: PostgresServer, url: str) -> int:
    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    return int(postgres.query(waiting, url=url)[0][0])


@contextmanager
def _holding_migration_lock(url: str) -> Iterator[Callable[[], None]]:
    """Hold the lock that migrations wait for, until what is given is called."""
    held, let_go = threading.Event(), threading.Event()

    async def hold() -> None:
        connection = await asyncpg.connect(url)
        await connection.execute("SELECT pg_advisory_lock(hashtext('switchboard-bot migrate'))")
        held.set()
        await asyncio.to_thread(let_go.wait, 100)
        await connection.close()

    holder = threading.Thread(target=lambda: asyncio.run(hold()))
    holder.start()
    try:
        assert held.wait(30)
        yield let_go.set
    finally:
        let_go.set()
        holder.join()


def _old_sqlite(tmp_path: Path) -> tuple[str, Callable[[str], list[tuple[Any, ...]]]]:
    path = tmp_path / "bot.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript((SCHEMAS / "sqlite_0004.sql").read_text())

    def query(statement: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(path)) as connection:
            return connection.execute(statement).fetchall()

    return f"sqlite:///{path}", query


def _old_postgres(postgres: PostgresServer) -> tuple[str, Callable[[str], list[tuple[Any, ...]]]]:
    url = postgres.new_database(migrated=False)
    _script(url, (SCHEMAS / "postgres_0004.sql").read_text())
    return url, lambda statement: postgres.query(statement, url=url)


def _script(url: str, script: str) -> None:
    async def run() -> None:
        connection = await asyncpg.connect(url)
        await connection.execute(script)
        await connection.close()

    in_a_loop(run)


@pytest.mark.parametrize("engine_name", ["sqlite", "postgres"])
class TestOlderVersion:
    """A database of revision 0004, with rows in nearly every table, as that version made it."""

    @pytest.fixture
    def old(
        self, request: pytest.FixtureRequest, tmp_path: Path, engine_name: str
    ) -> tuple[str, Callable[[str], list[tuple[Any, ...]]]]:
        """Its URL, and what queries it."""
        if engine_name == "sqlite":
            return _old_sqlite(tmp_path)
        return _old_postgres(request.getfixturevalue("postgres"))

    def test_taken_along(self, old: tuple[str, Callable[[str], list[tuple[Any, ...]]]]) -> None:
        """Every row is there afterwards, as it was."""
        url, query = old
        assert "run `switchboard-bot migrate`" in (current_problem(url) or "")
        columns = "id, holder, due_at, kept_since"
        kept = dict.fromkeys(OLD_TABLES, "*") | {"outbox": OUTBOX}
        before = {table: query(f"SELECT {columns} FROM {table}") for table, columns in kept.items()}  # noqa: S608
        conversations = query(f"SELECT {columns} FROM conversations ORDER BY id")  # noqa: S608
        assert [table for table, rows in before.items() if not rows] == ["removed"]
        migrate(url)
        assert current_problem(url) is None
        assert query(f"SELECT version_num FROM {VERSION_TABLE}") == [(HEAD,)]  # noqa: S608
        after = {table: query(f"SELECT {columns} FROM {table}") for table, columns in kept.items()}  # noqa: S608
        assert {table: _as_wide(after[table], rows) for table, rows in before.items()} == before
        assert query(f"SELECT {columns} FROM conversations ORDER BY id") == conversations  # noqa: S608
        migrate(url)

    async def test_goes_on(self, old: tuple[str, Callable[[str], list[tuple[Any, ...]]]]) -> None:
        """What was under way is claimed with all that its turn needs, and new events get new numbers."""
        url, _ = old
        migrate(url)
        store = open_store(url)
        await store.start()
        try:
            (work,) = await store.claim(owner="w2", now=NOW, lease=timedelta(seconds=30), limit=10)
            assert [entry.kind for entry in work.journal] == ["began", "say"]
            assert [effect.effect_id for effect in work.unsent] == ["s1", "k1"]
            assert isinstance(work.unsent[1], CleanUp)
            assert [(unsent.id, unsent.kind) for unsent in work.state.unsent] == [
                ("s1", Kind.SAY),
                ("k1", Kind.CLEAN_UP),
            ]
            assert await store.conversations_of("u2") == ["c2"]
            assert len(await store.set_aside_events()) == 2
        finally:
            await store.stop()


class TestSomebodyElse:
    """The bot shares a PostgreSQL database with anybody, and never touches tables that it has not made."""

    def test_same_names(self, postgres: PostgresServer) -> None:
        """Tables of our names, and alembic's, stay what they are."""
        url = postgres.new_database(migrated=False)
        _script(url, "".join(f"CREATE TABLE {table} (theirs int);" for table in TABLES))
        _script(url, "CREATE TABLE alembic_version (version_num text); INSERT INTO alembic_version VALUES ('0004')")
        migrate(url)
        assert current_problem(url) is None
        for table in TABLES:
            assert postgres.query(f"SELECT theirs FROM public.{table}", url=url) == []  # noqa: S608
        assert postgres.query("SELECT * FROM public.alembic_version", url=url) == [("0004",)]

    def test_same_schema(self, postgres: PostgresServer) -> None:
        """A schema of our name with other tables is refused, in words."""
        url = postgres.new_database(migrated=False)
        _script(url, f"CREATE SCHEMA {SCHEMA}; CREATE TABLE {SCHEMA}.orders (id int)")
        words = r"holds tables of another program \(orders\): rename it, or give the bot another database"
        assert re.search(words, current_problem(url) or "")
        with pytest.raises(SchemaMismatch, match=words):
            migrate(url)

    def test_schema_made_by_somebody_else(self, postgres: PostgresServer) -> None:
        """A user who may not create schemas can use one that was made for them."""
        url = postgres.new_database(migrated=False)
        postgres.query("DROP ROLE IF EXISTS tenant")
        postgres.query("CREATE ROLE tenant LOGIN")
        theirs = url.replace("postgresql://postgres@", "postgresql://tenant@")
        with pytest.raises(Unavailable, match="CREATE SCHEMA switchboard_bot AUTHORIZATION"):
            migrate(theirs)
        _script(url, f"CREATE SCHEMA {SCHEMA} AUTHORIZATION tenant")
        migrate(theirs)
        assert current_problem(theirs) is None
        postgres.drop_database(url)
        postgres.query("DROP ROLE tenant")

    @pytest.mark.parametrize(
        "script",
        [
            "CREATE TABLE orders (id int)",
            "CREATE TABLE conversations (id int); CREATE TABLE alembic_version (version_num text)",
            "CREATE TABLE alembic_version (version_num text); INSERT INTO alembic_version VALUES ('0004')",
            "CREATE VIEW orders AS SELECT 1",
        ],
    )
    def test_file(self, tmp_path: Path, script: str) -> None:
        """A SQLite file of another program is refused in words, and not changed."""
        path = tmp_path / "app.db"
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript(script)
        before = path.read_bytes()
        url = f"sqlite:///{path}"
        words = "tables of another program .* give the bot a file of its own in DATABASE_URL"
        assert re.search(words, current_problem(url) or "")
        with pytest.raises(StoreError, match=words):
            migrate(url)
        with closing(sqlite3.connect(path)) as connection:
            assert VERSION_TABLE not in {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
        assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("statement", "meant"),
    [
        ("SELECT inbox.id FROM inbox", "SELECT inbox.id FROM switchboard_bot.inbox"),
        ("UPDATE outbox SET x", "UPDATE switchboard_bot.outbox SET x"),
        (
            "SELECT 1 FROM a JOIN\n  removed_users ON true",
            "SELECT 1 FROM a JOIN\n  switchboard_bot.removed_users ON true",
        ),
        ("LOCK TABLE participants IN SHARE MODE", "LOCK TABLE switchboard_bot.participants IN SHARE MODE"),
        ("INSERT INTO audit VALUES", "INSERT INTO switchboard_bot.audit VALUES"),
        ("SELECT 1 FROM history_now, inbox_x", "SELECT 1 FROM history_now, inbox_x"),
        ("SELECT 1 FROM public.inbox FOR UPDATE", "SELECT 1 FROM public.inbox FOR UPDATE"),
    ],
)
def test_qualified(statement: str, meant: str) -> None:
    """The schema comes before our tables, and nothing else."""
    assert qualified(statement) == meant


def _as_wide(rows: list[tuple[Any, ...]], before: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """The rows without the columns that migrations have added."""
    return [row[: len(before[0])] if before else row for row in rows]
