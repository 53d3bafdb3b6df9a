"""The upgrade from commit 4a21846, in the middle of its work, and the way back (see `upgrades/make_4a21846.py`)."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from bot_program import free_port
from postgres_server import PostgresServer, in_a_loop
from typer.testing import CliRunner

from bot.app import running
from bot.cli import app
from bot.sandbox import BOT, WORKSPACE, Sandbox, Switches
from bot.sandbox.records import Ids
from bot.sandbox.state_file import StateFile
from bot.settings import EnvFile, Settings, load_settings
from bot.signals import Signal
from bot.store import current_problem, migrate
from bot.store.postgres.schema import SCHEMA

UPGRADES = Path(__file__).with_name("upgrades")
MODULE = "upgrade_flows"
LATER = timedelta(seconds=100)
"""After the dump: the nap is over then, and no other time has run out."""

PATIENCE = 60.0  # seconds, of the machine
OLD_TABLES = ("conversations", "inbox", "outbox", "journal", "duties")
WELCOME = "What would you like?"


@dataclass(frozen=True, slots=True)
class Then:
    """A clock that goes on from a moment of the past."""

    ahead: timedelta

    def now(self) -> datetime:
        """The time."""
        return datetime.now(UTC) - self.ahead


@dataclass(slots=True)
class Upgraded:
    """The platform as it was when the old version was killed, its database, and today's bot on it.

    Attributes:
        names: the conversations' ids, by what is the matter with them.
        url: the database.
        flows: the flows' module, as the bot has imported it.
    """

    sandbox: Sandbox
    names: dict[str, str]
    url: str
    clock: Then
    port: int
    query: Callable[[str], list[tuple[Any, ...]]]
    signals: list[Signal] = field(default_factory=list)
    _bot: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def start(self) -> None:
        """Start today's bot."""
        settings = load_settings(
            _env_file=None,
            **{name.lower(): value for name, value in self.sandbox.settings_for_bot().items()},
            database_url=self.url,
            host="127.0.0.1",
            port=self.port,
            flows=MODULE,
            release_grace="1s",
        )
        await self._bot.enter_async_context(running(settings, clock=self.clock, hooks=(self.signals.append,)))

    async def stop(self) -> None:
        """Stop it."""
        await self._bot.aclose()

    @property
    def flows(self) -> Any:
        """The flows' module, as the bot has imported it."""
        return sys.modules[MODULE]

    def said(self, name: str) -> list[str]:
        """What the bot has said in a conversation, as the platform knows it."""
        messages = self.sandbox.switchboard.conversations[self.names[name]].messages
        return [one.text for one in messages if one.author["type"] == "business" and not one.activity and one.text]

    def holder(self, name: str) -> str | None:
        """Who is active."""
        return self.sandbox.switchboard.holder(self.names[name])

    def says(self, name: str, text: str) -> None:
        """The user writes."""
        self.sandbox.switchboard.user_says(self.names[name], text, now=self.sandbox.clock.now())

    def ends(self, name: str) -> None:
        """The user ends the conversation."""
        self.sandbox.switchboard.user_ends(self.names[name], now=self.sandbox.clock.now())

    def unproven(self) -> list[str]:
        """The conversations that have ended, as the bot knows, and whose release is not proven."""
        rows = self.query("SELECT id FROM conversations WHERE ended_at IS NOT NULL AND released_at IS NULL")
        return [name for name, id_ in self.names.items() if (id_,) in rows]

    async def until(self, what: str, look: Callable[[], bool]) -> None:
        """Wait until it is so."""
        try:
            async with asyncio.timeout(PATIENCE):
                while not look():  # noqa: ASYNC110 - much of it is told by nobody
                    await asyncio.sleep(0.05)
        except TimeoutError:
            shown = {name: (self.holder(name), self.said(name)) for name in self.names}
            pytest.fail(f"not {what}: {shown}")


@pytest.fixture(autouse=True)
def _settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the machine; the flows can be found, and have done nothing yet."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.syspath_prepend(str(UPGRADES))
    monkeypatch.delitem(sys.modules, MODULE, raising=False)


@asynccontextmanager
async def upgraded(folder: Path, engine: str, database: tuple[str, Callable[..., Any]]) -> AsyncIterator[Upgraded]:
    """The platform and the database of then; today's bot is not started yet, nor anything migrated."""
    made = json.loads((UPGRADES / f"{engine}_4a21846.json").read_text(encoding="utf-8"))
    clock = Then(datetime.now(UTC) - datetime.fromisoformat(made["about"]["at"]) - LATER)
    ids, port = Ids(0x0707), free_port()
    sandbox = Sandbox(switches=Switches(mode="pass"), clock=clock, ids=ids, time_scale=0.1)
    state = folder / "account.json"
    state.write_text(json.dumps(made["state"]), encoding="utf-8")
    StateFile(state, sandbox, ids).restore()
    sandbox.integration_key, sandbox.app_key = sandbox.keys.all()
    sandbox.connect(f"http://127.0.0.1:{port}/webhooks/sunshine")
    url, query = database
    async with sandbox:
        made_ = Upgraded(sandbox, made["about"]["conversations"], url, clock, port, query)
        try:
            yield made_
        finally:
            await made_.stop()


def old_sqlite(folder: Path) -> tuple[str, Callable[..., Any]]:
    """The database of then."""
    path = folder / "bot.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript((UPGRADES / "sqlite_4a21846.sql").read_text(encoding="utf-8"))

    def query(statement: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(path)) as connection:
            return connection.execute(statement).fetchall()

    return f"sqlite:///{path}", query


def old_postgres(postgres: PostgresServer) -> tuple[str, Callable[..., Any]]:
    """The database of then."""
    url = postgres.new_database(migrated=False)
    script = (UPGRADES / "postgres_4a21846.sql").read_text(encoding="utf-8")

    async def run() -> None:
        connection = await asyncpg.connect(url)
        await connection.execute(script)
        await connection.close()

    in_a_loop(run)
    return url, lambda statement: postgres.query(statement, url=url)


@pytest.fixture(params=["sqlite", "postgres"])
async def old(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Upgraded]:
    """The platform and the database of then, on both engines."""
    engine = str(request.param)
    is_sqlite = engine == "sqlite"
    database = old_sqlite(tmp_path) if is_sqlite else old_postgres(request.getfixturevalue("postgres"))
    async with upgraded(tmp_path, engine, database) as made:
        yield made


async def test_taken_up_and_closed_with_proof(old: Upgraded) -> None:
    """Whatever was under way goes on where it was; nothing is said twice; and every end is proven."""
    migrate(old.url)
    waiting = {row[0] for row in old.query("SELECT effect_id FROM outbox WHERE status = 'open'")}
    assert old.query("SELECT sum(unsent) FROM conversations") == [(7,)]
    assert len(waiting) == 5, "of control actions and reads, the state tells all"
    await old.start()

    # What was in the outbox is said, once and in order, and control goes where it was to go.
    await old.until("said", lambda: old.said("talking") == ["Line 1", "Line 2", "Line 3"])
    await old.until("said", lambda: old.said("owing") == [WELCOME, "Tea: number 7."])
    await old.until("passed", lambda: old.holder("talking") == old.holder("owing") == WORKSPACE)
    # An answer of the API was lost: it is looked up, and not said again.
    await old.until("asked once", lambda: old.said("heard") == [WELCOME])
    # The end that the old version could not finish, and the one that nobody has looked at.
    await old.until("released", lambda: old.holder("unproven") is None and old.holder("ended_unread") is None)
    # What came while no worker ran.
    await old.until("read", lambda: old.said("unread") == [WELCOME])
    await old.until("answered", lambda: old.said("answered") == [WELCOME, "Cake: number 7."])
    # Flows that waited: for an answer, for time, for what a user says after an agent.
    old.says("asked", "Cake")
    await old.until("answered", lambda: old.said("asked") == [WELCOME, "Cake: number 7."])
    await old.until("awake", lambda: old.said("napping") == ["One moment.", "Here I am."])
    old.says("surveyed", "Good")
    await old.until("answered", lambda: old.said("surveyed")[-1:] == ["You said: Good"])
    await old.until("released", lambda: old.holder("surveyed") is None)
    assert old.said("surveyed").count("How was it?") == 1
    # A call that the journal has is not made again: of those here, only the new run drew a number.
    assert old.flows.NUMBERS == [7]

    assert old.holder("with_agent") == WORKSPACE
    assert old.holder("heard") == old.holder("unread") == BOT
    ended = ("proven", "unproven", "ended_unread")
    for name in old.names:
        if name not in ended:
            old.ends(name)
    await old.until("closed", lambda: all(old.holder(name) is None for name in old.names))
    await old.until("proven", lambda: old.unproven() == [])
    rows = old.query("SELECT id FROM conversations WHERE ended_at IS NOT NULL AND released_at IS NOT NULL")
    assert {id_ for (id_,) in rows} == set(old.names.values())
    assert old.query("SELECT conversation_id FROM duties WHERE closed_at IS NULL") == []
    await old.until("sent", lambda: old.query("SELECT effect_id FROM outbox WHERE status = 'open'") == [])
    assert old.query("SELECT id FROM inbox WHERE status = 'set_aside'") == []
    # What flows have registered with `on_end` is called by the version that ends them.
    shops = {old.names[name] for name in ("asked", "heard", "answered", "unread", "ended_unread")}
    assert shops <= set(old.flows.CLEANED_UP)
    problems = {"flow_failed", "flow_raised", "clean_up_failed", "event_set_aside", "state_unsafe"}
    assert not [one for one in old.signals if one.event in problems]


async def test_an_end_that_was_proven_is_left_alone(old: Upgraded) -> None:
    """The upgrade asks the platform nothing about it."""
    migrate(old.url)
    proven = old.names["proven"]
    before = old.query(f"SELECT released_at FROM conversations WHERE id = '{proven}'")  # noqa: S608 - an id of ours
    await old.start()
    await old.until("at work", lambda: old.holder("unproven") is None)
    assert old.query(f"SELECT released_at FROM conversations WHERE id = '{proven}'") == before  # noqa: S608
    assert not [one for one in old.sandbox.server.requests if proven in one.path]


@pytest.fixture
def _settings_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A `.env` that names the database."""
    file = tmp_path / ".env"
    file.write_text(f"DATABASE_URL=sqlite:///{tmp_path}/bot.db\n", encoding="utf-8")
    monkeypatch.setattr(EnvFile, "path", file)


def content(path: Path) -> list[str]:
    """A SQLite database as SQL."""
    with closing(sqlite3.connect(path)) as connection:
        return list(connection.iterdump())


@pytest.mark.usefixtures("_settings_file")
class TestTheWayBack:
    """A backup before the upgrade is the way back."""

    def test_the_backup_is_what_the_old_version_left(self, tmp_path: Path) -> None:
        """It can be made before anything is migrated, and holds everything; then the old version goes on with it."""
        old_sqlite(tmp_path)
        before = content(tmp_path / "bot.db")
        copy = tmp_path / "before.db"
        result = CliRunner().invoke(app, ["backup", str(copy)])
        assert result.exit_code == 0, result.output
        migrate(f"sqlite:///{tmp_path}/bot.db")
        assert content(tmp_path / "bot.db") != before
        copy.replace(tmp_path / "bot.db")
        assert content(tmp_path / "bot.db") == before

    async def test_what_happened_since_is_read(self, tmp_path: Path) -> None:
        """After a restore, the bot goes on from what the platform says of the conversations that it held."""
        async with upgraded(tmp_path, "sqlite", old_sqlite(tmp_path)) as old:
            migrate(old.url)
            await old.start()
            await old.until("at work", lambda: old.said("unread") == [WELCOME])
            copy = tmp_path / "copy.db"
            result = await asyncio.to_thread(CliRunner().invoke, app, ["backup", str(copy)])
            assert result.exit_code == 0, result.output
            old.ends("unread")  # forgotten by the restore
            await old.until("closed", lambda: old.holder("unread") is None and old.unproven() == [])
            await old.stop()

            for name in ("bot.db", "bot.db-wal", "bot.db-shm"):
                (tmp_path / name).unlink(missing_ok=True)
            copy.replace(tmp_path / "bot.db")
            held = "SELECT id FROM conversations WHERE holder = 'bot'"
            assert (old.names["unread"],) in old.query(held)
            old.clock = Then(old.clock.ahead - timedelta(minutes=20))  # as long as a flow waits, and longer
            old.sandbox.clock = old.clock
            await old.start()
            await old.until("known", lambda: (old.names["unread"],) not in old.query(held))
            old.ends("asked")
            await old.until("closed", lambda: old.holder("asked") is None)
            await old.until("proven", lambda: old.unproven() == [])


@pytest.mark.parametrize("schema", [[], [f"--schema={SCHEMA}"]], ids=["of then", "of today"])
def test_the_way_back_on_postgres(postgres: PostgresServer, tmp_path: Path, schema: list[str]) -> None:
    """As in docs/operate.md: the schema is dropped before pg_restore; then a new try to upgrade succeeds."""
    url, query = old_postgres(postgres)
    if schema:
        migrate(url)

    def rows() -> list[list[tuple[Any, ...]]]:
        return [query(f"SELECT * FROM {table} ORDER BY 1, 2") for table in OLD_TABLES]  # noqa: S608

    before = rows()
    assert all(before)
    dump = str(tmp_path / "bot.dump")
    run(postgres, "pg_dump", "--format=custom", *schema, f"--file={dump}", url)
    migrate(url)
    query("DELETE FROM conversations")
    query(f"DROP SCHEMA {SCHEMA} CASCADE")
    run(postgres, "pg_restore", "--no-owner", f"--dbname={url}", dump)
    assert rows() == before
    migrate(url)
    assert current_problem(url) is None


def run(postgres: PostgresServer, program: str, *arguments: str) -> None:
    """Run one of PostgreSQL's programs, of the server's own version."""
    path = postgres._binaries / program
    if not path.exists():
        pytest.skip(f"{program} is not beside the server")
    subprocess.run([path, *arguments], check=True, capture_output=True)  # noqa: S603


def test_the_schema_of_then(postgres: PostgresServer) -> None:
    """The old version's tables were in `public`; the upgrade takes them to the bot's own schema."""
    url, _ = old_postgres(postgres)
    where = "SELECT schemaname FROM pg_tables WHERE tablename = 'conversations'"
    assert postgres.query(where, url=url) == [("public",)]
    migrate(url)
    assert postgres.query(where, url=url) == [(SCHEMA,)]
