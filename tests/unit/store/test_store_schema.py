"""Migrations, the check of the schema, and what `DATABASE_URL` may say."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import cast

import pytest

from bot.store import SchemaMismatch, SqliteStore, Store, Unavailable, current_problem, migrate, open_store
from bot.store.migrations import WHOLE, configuration, empty_database, enable_wal, postgresql_script, run_migrations
from bot.store.migrations.whole import whole_schema
from bot.store.schema import HEAD, TABLES, problem_with
from bot.store.url import postgres_address, sqlite_path


def _url(path: Path) -> str:
    return f"sqlite:///{path}"


def _set_revision(path: Path, revision: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE switchboard_bot_version SET version_num = ?", (revision,))


def test_head() -> None:
    """The constant is the newest migration."""
    from alembic.script import ScriptDirectory

    assert ScriptDirectory.from_config(configuration()).get_heads() == [HEAD]


def test_serving_needs_no_alembic(tmp_path: Path) -> None:
    """Making, checking and opening a SQLite file import neither alembic nor asyncpg nor SQLAlchemy."""
    url = _url(tmp_path / "new.db")
    program = (
        f"import sys, bot.store as s; s.migrate({url!r}); assert not s.current_problem({url!r}); s.open_store({url!r})"
    )
    check = "; assert not {'alembic', 'asyncpg', 'sqlalchemy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program + check], check=True)  # noqa: S603


def test_a_new_database_has_what_the_migrations_make() -> None:
    """The schema of new SQLite databases is written down beside the migrations, and must not fall behind them."""
    assert WHOLE.read_text(encoding="utf-8") == whole_schema(), "run: python -m bot.store.migrations.whole"
    with (
        closing(sqlite3.connect(":memory:", isolation_level=None)) as made,
        closing(sqlite3.connect(":memory:", isolation_level=None)) as migrated,
    ):
        made.deserialize(empty_database())
        run_migrations(migrated, Path(":memory:"))
        assert _whole(made) == _whole(migrated)


def _whole(connection: sqlite3.Connection) -> list[str]:
    return [" ".join(line.split()).replace(" ;", ";") for line in connection.iterdump()]


def test_migrate(tmp_path: Path) -> None:
    """A migrated database has no problem, and migrating again does nothing."""
    url = _url(tmp_path / "new.db")
    for _ in range(2):
        migrate(url)
        assert current_problem(url) is None


def test_migrate_from_nothing_known(tmp_path: Path) -> None:
    """A file without tables counts as new."""
    path = tmp_path / "empty.db"
    path.touch()
    assert "no tables yet" in (current_problem(_url(path)) or "")
    migrate(_url(path))
    assert current_problem(_url(path)) is None


def test_check_makes_nothing(tmp_path: Path) -> None:
    """Looking for a problem does not make the file."""
    path = tmp_path / "none.db"
    assert "switchboard-bot migrate" in (current_problem(_url(path)) or "")
    assert not path.exists()


def test_no_database_at_all(tmp_path: Path) -> None:
    """A file that is something else is named as that, by the check and by the migration."""
    path = tmp_path / "novel.txt"
    path.write_text("It was a dark and stormy night. " * 100)
    assert "is it a SQLite file" in (current_problem(_url(path)) or "")
    with pytest.raises(Unavailable, match="not a SQLite database"):
        migrate(_url(path))


def test_no_directory(tmp_path: Path) -> None:
    """A directory that is missing is named."""
    with pytest.raises(Unavailable, match="check that its directory exists"):
        migrate(_url(tmp_path / "missing" / "new.db"))


def test_newer_database(tmp_path: Path) -> None:
    """An older bot does not touch a newer database."""
    path = tmp_path / "newer.db"
    migrate(_url(path))
    _set_revision(path, "9999")
    with pytest.raises(SchemaMismatch, match="update switchboard-bot"):
        migrate(_url(path))


class _Locked:
    """A connection that another process keeps from switching, a few times or for another reason."""

    def __init__(self, errors: list[int]) -> None:
        self.errors = errors

    def execute(self, statement: str) -> None:
        assert statement == "PRAGMA journal_mode = WAL"
        if self.errors:
            error = sqlite3.OperationalError("database is locked")
            error.sqlite_errorcode = self.errors.pop()
            raise error


def test_switching_to_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """While another process switches to the write-ahead log, this one tries again; another error is one."""
    monkeypatch.setattr("time.sleep", lambda _: None)
    enable_wal(cast("sqlite3.Connection", _Locked([sqlite3.SQLITE_BUSY] * 3)))
    for errors in ([sqlite3.SQLITE_BUSY] * 500, [sqlite3.SQLITE_READONLY]):
        with pytest.raises(sqlite3.OperationalError):
            enable_wal(cast("sqlite3.Connection", _Locked(errors)))


@pytest.mark.parametrize(
    ("revision", "says"), [(None, "no tables"), ("0000", "migrate"), ("9999", "update"), (HEAD, None)]
)
def test_problem(revision: str | None, says: str | None) -> None:
    """Every other revision than the newest is a problem with a remedy."""
    problem = problem_with(revision)
    assert (says is None) == (problem is None)
    assert says is None or says in (problem or "")


def test_postgresql_script() -> None:
    """The same migrations make the tables on PostgreSQL, with the types of PostgreSQL."""
    script = postgresql_script()
    assert "CREATE TABLE conversations" in script
    assert "conversations_safe CHECK" in script
    assert "BIGINT" in script
    assert "BYTEA" in script
    assert "STRICT" not in script


def test_strict() -> None:
    """Every table of ours is STRICT, so that no time is ever stored as text."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.deserialize(empty_database())
        found = connection.execute("SELECT name, strict FROM pragma_table_list WHERE schema = 'main'").fetchall()
    assert {name for name, strict in found if strict} == set(TABLES)
    assert {name for name, strict in found if not strict} == {
        "switchboard_bot_version",
        "sqlite_sequence",
        "sqlite_schema",
    }


class TestUrl:
    """Only what can be used is taken, and a refusal says what to write."""

    @pytest.mark.parametrize(
        ("url", "path"),
        [
            ("sqlite:///switchboard-bot.db", "switchboard-bot.db"),
            ("sqlite:///data/bot.db", "data/bot.db"),
            ("sqlite:////var/lib/bot.db", "/var/lib/bot.db"),
            ("sqlite:////with space/ü.db", "/with space/ü.db"),
        ],
    )
    def test_sqlite(self, url: str, path: str) -> None:
        """Three slashes are relative, four absolute."""
        assert sqlite_path(url) == Path(path)

    @pytest.mark.parametrize(
        ("url", "says"),
        [
            ("", "write sqlite:///"),
            ("switchboard-bot.db", "write sqlite:///"),
            ("mysql://me:secret@host/db", "write sqlite:///"),
            ("sqlite+aiosqlite:///bot.db", "write sqlite:///"),
            ("sqlite:", "write sqlite:///"),
            ("sqlite://", "four slashes"),
            ("sqlite://bot.db", "four slashes"),
            ("sqlite:///", "in memory"),
            ("sqlite:///:memory:", "in memory"),
            ("sqlite:///bot.db?mode=ro", "options"),
        ],
    )
    def test_refused(self, url: str, says: str) -> None:
        """Everything else is refused, and no message shows a password."""
        with pytest.raises(ValueError, match=says) as refusal:
            open_store(url)
        assert "secret" not in str(refusal.value)

    @pytest.mark.parametrize(
        ("url", "place"),
        [
            ("postgres://me:secret@host/bot", "host:5432/bot"),
            ("postgresql://me:s%40cr%2Fet@[::1]:6432/my%20bot?sslmode=require", "::1:6432/my bot"),
            ("postgresql:///bot?host=/run/postgresql&pool=9&pooled=true", "/run/postgresql:5432/bot"),
        ],
    )
    def test_postgres(self, url: str, place: str) -> None:
        """Both schemes are the same; what is shown holds no password, and our own options don't reach PostgreSQL."""
        address = postgres_address(url)
        assert (address.place, address.dsn.partition("://")[0]) == (place, "postgresql")
        assert "secret" not in repr(address)
        assert "pool" not in address.dsn
        assert (address.pool, address.pooled) == ((9, True) if "pool" in url else (4, None))

    def test_whom_to_listen_to(self) -> None:
        """Behind a proxy, wake-ups come from the database itself, with the same login."""
        address = postgres_address("postgres://me:s%40@proxy:6432/bot?pooled=true&listen=db.internal:5432")
        assert address.listen == "postgresql://me:s%40@db.internal:5432/bot"

    @pytest.mark.parametrize(
        ("url", "says"),
        [
            ("postgres://me:sec/ret@host:x/db", "percent-encode"),
            ("postgres://me:secret@host:port/db", "percent-encode"),
            ("postgres://me:sec#ret@host/db", "percent-encode"),
            ("postgres://me:secret@host/db?pool=0", "pool is"),
            ("postgres://me:secret@host/db?pooled=yes", "pooled is"),
        ],
    )
    def test_postgres_refused(self, url: str, says: str) -> None:
        """What can't be used is refused, and no message shows a password."""
        with pytest.raises(ValueError, match=says) as refusal:
            open_store(url)
        assert "sec" not in str(refusal.value)

    def test_store(self) -> None:
        """A SQLite URL gives a store."""
        store: Store = open_store("sqlite:///bot.db")
        assert isinstance(store, SqliteStore)


@pytest.mark.parametrize("inline", [True, False])
class TestStart:
    """A store opens only what it can use."""

    async def test_missing(self, tmp_path: Path, inline: bool) -> None:
        """It never makes an empty file."""
        with pytest.raises(SchemaMismatch, match="switchboard-bot migrate"):
            await SqliteStore(tmp_path / "none.db", inline=inline).start()
        assert current_problem(_url(tmp_path / "none.db")) is not None

    async def test_older(self, tmp_path: Path, inline: bool) -> None:
        """An older schema is to be migrated first."""
        path = tmp_path / "older.db"
        path.write_bytes(empty_database())
        _set_revision(path, "0000")
        with pytest.raises(SchemaMismatch, match="run `switchboard-bot migrate`"):
            await SqliteStore(path, inline=inline).start()

    async def test_something_else(self, tmp_path: Path, inline: bool) -> None:
        """A file that is no database is refused in words."""
        path = tmp_path / "novel.txt"
        path.write_text("It was a dark and stormy night. " * 100)
        with pytest.raises(Unavailable, match="not a SQLite database"):
            await SqliteStore(path, inline=inline).start()

    async def test_ping(self, tmp_path: Path, inline: bool) -> None:
        """A ping notices that the schema has changed under it."""
        path = tmp_path / "bot.db"
        path.write_bytes(empty_database())
        store = SqliteStore(path, inline=inline)
        await store.start()
        try:
            await store.ping()
            _set_revision(path, "9999")
            with pytest.raises(SchemaMismatch, match="update"):
                await store.ping()
        finally:
            await store.stop()

    async def test_not_started(self, tmp_path: Path, inline: bool) -> None:
        """Before the start and after the stop it is out of reach."""
        path = tmp_path / "bot.db"
        path.write_bytes(empty_database())
        store = SqliteStore(path, inline=inline)
        with pytest.raises(Unavailable, match="not open"):
            await store.ping()
        await store.start()
        await store.stop()
        with pytest.raises(Unavailable, match="not open"):
            await store.ping()


def test_memory_needs_inline() -> None:
    """A database in memory has one connection, so it can't have a reader beside the writer."""
    with pytest.raises(ValueError, match="inline=True"):
        SqliteStore(":memory:")


def test_held_before() -> None:
    """What the bot held before the listings came is held since it was last written."""
    from alembic import command
    from sqlalchemy import create_engine
    from sqlalchemy.pool import StaticPool

    with closing(sqlite3.connect(":memory:", isolation_level=None)) as raw:
        engine = create_engine("sqlite://", creator=lambda: raw, poolclass=StaticPool)
        with engine.connect() as connection:
            config = configuration()
            config.attributes["connection"] = connection
            command.upgrade(config, "0001")
            for holder in ("bot", "other"):
                raw.execute(
                    "INSERT INTO conversations (id, holder, gone, mismatch, look_at, due_at, epoch, created_at, "
                    "updated_at, state) VALUES (?, ?, 0, 0, 9, 9, 1, 1, 7, '{}')",
                    (holder, holder),
                )
            command.upgrade(config, "head")
        assert raw.execute("SELECT id, held_since FROM conversations ORDER BY id").fetchall() == [
            ("bot", 7),
            ("other", None),
        ]
