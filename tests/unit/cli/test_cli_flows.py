"""`flows list` and `flows check`: who waits in which flow, and who would not fit the code at hand."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from bot.account.examination import play_waiting
from bot.cli import app
from bot.control.state import Conversation, Holder, Opening, OpeningKind, Purpose, Run, RunStatus, Who
from bot.flows.catalogue import load_catalogue
from bot.flows.content import Text
from bot.flows.steps import text_step
from bot.settings import EnvFile, Settings
from bot.store import Change, JournalEntry, migrate, open_store
from webhooks.inbox import NewEvent

CODE = """
from bot import Chat, flow

@flow("order", version={version})
async def order(chat: Chat) -> None:
    name = await chat.ask("{question}")
    await chat.say(name.text)
"""
BEGAN: dict[str, Any] = {"began": {"kind": "message", "text": "SECRET"}, "user": {"id": "u", "name": "SECRET"}}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    """A folder with a migrated database, and modules of flows that no other test has."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(EnvFile, "path", EnvFile.path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/bot.db")
    migrate(f"sqlite:///{tmp_path}/bot.db")
    return tmp_path


def module(folder: Path, name: str, question: str = "Your name?", version: int = 1) -> str:
    """Write a module with a flow."""
    (folder / f"{name}.py").write_text(CODE.format(question=question, version=version))
    return name


def waits(folder: Path, id_: str, flow: str = "order", version: int = 1, *, recorded: bool = True) -> None:
    """Let somebody wait for two hours at the question of a flow."""

    async def store_it() -> None:
        now = datetime.now(UTC)
        at = now - timedelta(hours=2, minutes=5)
        store = open_store(f"sqlite:///{folder}/bot.db")
        await store.start()
        await store.receive([NewEvent(f"e-{id_}", id_, "conversation:message", b"{}", at)])
        (work,) = await store.claim(owner="w", now=now, lease=timedelta(seconds=30), limit=1)
        opening = Opening(OpeningKind.MESSAGE)
        name = {"flow": flow, "version": version} if recorded else {}
        later = now + timedelta(hours=1)
        run = Run(1, Purpose.OPENING, opening, at, RunStatus.WAITING, at, later, wants_input=True, **name)  # type: ignore[arg-type]
        ask = {"until": later.isoformat(), "place": "orders.py:6", "says": "Your name?"}
        journal = [
            JournalEntry(1, 0, "began", flow, {**BEGAN, "version": version}, at=at),
            JournalEntry(1, 1, "ask", text_step("ask", Text("Your name?")).stored, ask, at=at),
        ]
        state = Conversation(id_, holder=Holder(Who.BOT), run=run)
        await store.save(work.lease, Change(state, handled=[f"e-{id_}"], journal=journal, release=True), now)
        await store.stop()

    asyncio.run(store_it())


def run(*words: str, **environment: str) -> Result:
    """Run `switchboard-bot flows …`."""
    return CliRunner().invoke(app, ["flows", *words], env={"COLUMNS": "200", **environment})


def test_list(folder: Path) -> None:
    """Every version that is registered or in use, and who waits where, without anybody's words."""
    name = module(folder, "listed_flows", version=2)
    for id_, version in (("c1", 1), ("c2", 1), ("c3", 2)):
        waits(folder, id_, version=version)
    told = run("list", FLOWS=name)
    assert told.exit_code == 0, told.output
    lines = [" ".join(line.split()) for line in told.stdout.splitlines()]
    assert "order 1 2 not in FLOWS" in lines
    assert "order 2 1" in lines
    assert 'c1 order 1 ask "Your name?" (orders.py:6) 2 h 5 min' in lines
    assert "SECRET" not in told.output
    assert "There are more" in run("list", "--limit", "2", FLOWS=name).stdout
    shown = json.loads(run("list", "--json", "--flows", name).stdout)
    assert shown["flows"][1] == {"flow": "order", "version": 2, "at_work": 1, "registered": True}
    assert [one["conversation"] for one in shown["waiting"]] == ["c1", "c2", "c3"]
    assert shown["waiting"][0]["waits_at"] == 'ask "Your name?" (orders.py:6)'


def test_list_without_modules(folder: Path) -> None:
    """A module that can't be imported hides nobody who waits; what is wrong with it is told."""
    waits(folder, "c1", recorded=False)
    told = run(FLOWS="not_there")
    assert told.exit_code == 0
    assert "(not recorded)" in told.stdout
    assert "module 'not_there' can't be imported" in told.stderr


def test_check(folder: Path) -> None:
    """Exit 0 if all fit, 1 and a line each if not, also where the flow is gone."""
    same, other, newer = (
        module(folder, "same_flows"),
        module(folder, "other_flows", "Who are you?"),
        module(folder, "newer_flows", version=2),
    )
    assert "No conversation waits" in run("check", FLOWS=same).stdout
    waits(folder, "c1")
    waits(folder, "c2", "gone")
    told = run("check", FLOWS=same)
    assert (told.exit_code, told.stdout.count("\n")) == (1, 2)
    where = 'c2 has waited for 2 h 5 min at ask "Your name?" (orders.py:6)'
    assert f"{where}: there is no flow 'gone' any more" in told.stdout
    told = run("check", "--flows", other, FLOWS=same)
    assert told.exit_code == 1
    wants = 'the code at other_flows.py:6 wants ask "Who are you?", the journal has ask "Your name?"'
    assert f"flow 'order' version 1, step 1: {wants}" in told.stdout
    assert "2 of 2 waiting conversations would not fit." in told.stdout
    assert "SECRET" not in told.output
    shown = json.loads(run("check", "--json", FLOWS=newer).stdout)
    assert shown["waiting"] == 2
    assert shown["unfit"][1]["problem"] == "there is no flow 'order' version 1 any more"


def test_check_that_all_fit(folder: Path) -> None:
    """More than one page of them."""
    name = module(folder, "fitting_flows")
    for number in range(60):
        waits(folder, f"c{number}")
    told = run("check", FLOWS=name)
    assert (told.exit_code, told.stdout) == (0, "All 60 waiting conversations fit.\n")


def test_check_that_can_not_begin(folder: Path) -> None:
    """One line, and exit 2."""
    told = run("check", "--flows", "not_there")
    assert (told.exit_code, told.stderr.count("\n")) == (2, 1)
    assert "can't be imported" in told.stderr
    told = run("check", DATABASE_URL=f"sqlite:///{folder}/nothing.db")
    assert told.exit_code == 2
    assert told.stderr.startswith("DATABASE_URL: there is no database")


def test_what_doctor_finds_out(folder: Path) -> None:
    """The same, for the flows of the settings."""
    other = module(folder, "doctored_flows", "Who are you?")
    url = f"sqlite:///{folder}/bot.db"
    assert asyncio.run(play_waiting(url, load_catalogue([other]))) == (0, ())
    waits(folder, "c1")
    played, (problem,) = asyncio.run(play_waiting(url, load_catalogue([other])))
    assert played == 1
    assert problem.startswith("c1: flow 'order' version 1, step 1: the code at doctored_flows.py:6 wants ask")


LIFESPAN = """
from dataclasses import dataclass
from pathlib import Path
from bot import Chat, flow, lifespan

@dataclass
class Order:
    number: int

class Orders:
    def order_of(self, name: str) -> Order:
        raise AssertionError("it ran already")

@lifespan
async def shop():
    {fails}
    yield {{"orders": Orders()}}
    Path("closed").touch()

@flow("order")
async def order(chat: Chat) -> None:
    found = await chat.call(chat.resources.orders.order_of, "tea")
    await chat.ask("Your name?")
    await chat.say(str(found.number))
"""


def test_check_opens_and_closes_what_flows_share(folder: Path) -> None:
    """They name functions of it. A lifespan that fails is told in one line, without what it says."""
    (folder / "shop_flows.py").write_text(LIFESPAN.format(fails="pass"))
    waits(folder, "c1")
    told = run("check", FLOWS="shop_flows")
    assert told.exit_code == 1
    assert 'wants call Orders.order_of, the journal has ask "Your name?"' in told.stdout
    assert (folder / "closed").exists()
    (folder / "broken_shop.py").write_text(LIFESPAN.format(fails="raise OSError('SECRET')"))
    told = run("check", FLOWS="broken_shop")
    assert (told.exit_code, told.stderr.count("\n")) == (2, 1)
    assert told.stderr.startswith("FLOWS: the lifespan shop failed: OSError at")
    assert "SECRET" not in told.output
