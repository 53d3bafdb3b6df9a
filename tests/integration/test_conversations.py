"""`conversations` beside a running bot on the sandbox, over real HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from bot.app import WEBHOOK_PATH, running
from bot.cli import app
from bot.sandbox.records import Caller
from bot.sandbox.sandbox import Sandbox
from bot.sandbox.scripted_people import Visitor
from bot.sandbox.switchboard import BOT, WORKSPACE
from bot.sandbox.switches import Switches
from bot.settings import Settings, load_settings
from bot.store import Database, migrate, open_store
from webhooks.inbox import NewEvent

PATIENCE = 15.0


@dataclass
class Place:
    """A running bot, a visitor that it serves, and the command line beside it."""

    sandbox: Sandbox
    visitor: Visitor
    store: Database
    environment: dict[str, str]

    async def run(self, *arguments: str, typed: str = "", **environment: str) -> Result:
        """Run `switchboard-bot conversations …`."""
        return await asyncio.to_thread(
            CliRunner().invoke,
            app,
            ["conversations", *arguments],
            input=typed,
            env={"COLUMNS": "300", **self.environment, **environment},
        )

    async def json(self, *arguments: str) -> Any:
        """The same with `--json`."""
        result = await self.run(*arguments, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    async def until(self, *arguments: str, shows: str) -> None:
        """Run it until it shows something."""
        for _ in range(int(PATIENCE * 10)):
            if shows in (await self.run(*arguments, "--json")).stdout:
                return
            await asyncio.sleep(0.1)
        raise AssertionError(f"never shown: {shows}")

    @property
    def id(self) -> str:
        """The visitor's conversation."""
        return self.visitor.conversation_id

    @property
    def holder(self) -> str | None:
        """Who is active in it."""
        return self.sandbox.switchboard.holder(self.id)


@asynccontextmanager
async def served(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *, app_key: bool = False, url: str = ""
) -> AsyncIterator[Place]:
    """A visitor whom the bot has asked something."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(folder)
    async with Sandbox(switches=Switches(), time_scale=0.05) as sandbox:
        url = url or f"sqlite:///{folder}/bot.db"
        environment = sandbox.settings_for_bot() | {"DATABASE_URL": url, "PORT": "0", "OPENING_FLOW": "triage"}
        if not app_key:
            environment = {name: value for name, value in environment.items() if "APP_KEY" not in name}
        migrate(environment["DATABASE_URL"])
        settings = load_settings(
            _env_file=None, **{name.lower(): value for name, value in environment.items()}, host="127.0.0.1"
        )
        async with running(settings, hooks=()) as bot:
            sandbox.connect(f"http://127.0.0.1:{bot.port}{WEBHOOK_PATH}")
            visitor = sandbox.visitor("Ada")
            await visitor.says("Hello, I am Ada")
            await sandbox.until(lambda: True if len(visitor.messages) > 1 else None, PATIENCE, "the bot answers")
            store = open_store(environment["DATABASE_URL"])
            await store.start()
            try:
                yield Place(sandbox, visitor, store, environment)
            finally:
                await store.stop()


async def test_list_and_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is held is listed without a word of what was said; the timeline has that, and the audit log who looked."""
    async with served(tmp_path, monkeypatch) as place:
        (row,) = await place.json("list", "--filter", "held")
        assert (row["id"], row["holder"], row["standing"], row["flow"]) == (place.id, "bot", ["held"], "opening")
        table = await place.run("list")
        assert place.id in table.stdout
        assert "Ada" not in table.stdout
        assert place.id in (await place.run()).stdout, "list is the default"
        assert await place.json("list", "--filter", "held", "--older-than", "1h") == []
        assert "No conversation" in (await place.run("list", "--filter", "overdue")).stdout
        assert [one["id"] for one in await place.json("list", "--search", place.id[:-2])] == [place.id]
        shown = await place.run("show", place.id)
        assert "Hello, I am Ada" in shown.stdout
        assert "opening flow began" in shown.stdout
        said = [line for line in (await place.json("show", place.id))["timeline"] if line["text"] == "Hello, I am Ada"]
        assert [(line["actor"], line["what"]) for line in said] == [("user", "wrote")]
        log = await place.store.audit_log()
        assert [(entry.action, entry.conversation_id) for entry in log] == [("view", place.id)] * 2
        assert "command line" in log[0].who


async def test_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what will happen, asks, and waits for the proof."""
    async with served(tmp_path, monkeypatch) as place:
        refused = await place.run("release", place.id)
        assert refused.exit_code == 2
        assert "--yes" in refused.stderr
        monkeypatch.setattr("bot.cli.conversations._can_ask", lambda: True)
        declined = await place.run("release", place.id, typed="n\n")
        assert (declined.exit_code, place.holder) == (1, BOT)
        done = await place.run("release", place.id, typed="y\n")
        assert done.exit_code == 0, done.output
        assert "The bot holds control" in done.stdout
        assert "Done: nobody is active" in done.stdout
        assert place.holder is None
        assert [entry.action for entry in await place.store.audit_log()] == ["release"]


async def test_postgresql(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, postgres_url: str) -> None:
    """The same on PostgreSQL."""
    async with served(tmp_path, monkeypatch, url=postgres_url) as place:
        assert [one["id"] for one in await place.json("list", "--filter", "held")] == [place.id]
        assert "Hello, I am Ada" in (await place.run("show", place.id)).stdout
        done = await place.run("release", place.id, "--yes")
        assert "Done: nobody is active" in done.stdout, done.output
        assert place.holder is None
        assert [entry.action for entry in await place.store.audit_log()] == ["release", "view"]


async def test_release_what_others_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only with the app key, and only if the operator names who holds it."""
    async with served(tmp_path, monkeypatch, app_key=True) as place:
        board = place.sandbox.switchboard
        board.pass_control(place.id, Caller("another system", "app"), WORKSPACE, datetime.now(UTC))
        await place.until("list", "--search", place.id, shows='"holder": "other"')
        keyless = await place.run("release", place.id, "--yes", SUNSHINE_APP_KEY_ID="", SUNSHINE_APP_KEY_SECRET="")
        assert keyless.exit_code == 1
        assert "app key" in keyless.stdout
        unnamed = await place.run("release", place.id, "--yes")
        assert unnamed.exit_code == 2
        assert f"control would be taken from {WORKSPACE}" in unnamed.stderr
        assert "an agent may be talking" in unnamed.stdout
        assert place.holder == WORKSPACE
        done = await place.run("release", place.id, "--take-from", WORKSPACE)
        assert "Done: nobody is active" in done.stdout, done.output
        assert place.holder is None


async def test_no_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a running bot the order waits, and that is told, to people and to scripts."""
    async with served(tmp_path, monkeypatch) as place:
        pass
    told = await place.run("release", place.id, "--yes", "--wait", "0s")
    assert told.exit_code == 3, told.output
    assert "no worker has picked it up" in told.stdout


async def test_retry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is set aside is listed, and taken up again by its id."""
    async with served(tmp_path, monkeypatch) as place:
        now = datetime.now(UTC)
        await place.store.receive([NewEvent("odd", place.id, "conversation:message", b'{"type": 7}', now)])
        await place.until("retry", shows="no type")
        found = await place.json("retry")
        assert [(one["id"], one["conversation_id"], one["reason"]) for one in found] == [
            ("odd", place.id, "the event has no type")
        ]
        assert "odd" in (await place.run("retry")).stdout
        assert "The bot will retry event odd" in (await place.run("retry", "odd")).stdout
        again = await place.run("retry", "none")
        assert again.exit_code == 2
        assert "no event 'none' is set aside" in again.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("show", "nope"), "no conversation 'nope' is known"),
        (("list", "--older-than", "soon"), "--older-than: give a duration"),
        (("list", "--filter", "odd"), "'odd' is not one of"),
    ],
)
async def test_bad_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], says: str
) -> None:
    """One clear line, and exit code 2."""
    monkeypatch.chdir(tmp_path)
    url = f"sqlite:///{tmp_path}/bot.db"
    migrate(url)
    result = await asyncio.to_thread(
        CliRunner().invoke, app, ["conversations", *arguments], env={"DATABASE_URL": url, "COLUMNS": "300"}
    )
    assert result.exit_code == 2
    assert says in result.stderr


def test_no_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No database, no traceback."""
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["conversations"], env={"DATABASE_URL": "sqlite:///none.db"})
    assert result.exit_code == 2
    assert "switchboard-bot migrate" in result.stderr
    assert not (tmp_path / "none.db").exists()
