"""A person who is removed leaves nothing behind: in no table, and in no byte of the database's files."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from bot_program import Program, launched
from tiers import combined, some

from bot.engine.retention import Retention
from bot.sandbox.payloads import member_json
from bot.sandbox.sandbox import Sandbox
from bot.sandbox.switchboard import BOT
from bot.sandbox.switches import Switches
from bot.signals import Level, Signal
from bot.store import Change, Done, JournalEntry, Say, SqliteStore, migrate
from webhooks.contacts import Contact, ContactKind
from webhooks.inbox import NewEvent

PERSONAL = {
    "text": "CANARY0text",
    "name": "CANARY0name",
    "email": "CANARY0@example.com",
    "avatar": "https://example.com/CANARY0avatar",
    "external id": "CANARY0external",
    "metadata": "CANARY0metadata",
    "said": "CANARY0said",
    "journal": "CANARY0journal",
    "ticket": "CANARY0ticket",
    "widget": "CANARY0widget",
}
FILES = ("bot.db", "bot.db-wal", "bot.db-shm")

FLOWS = """
from bot import flow

@flow("personal")
async def personal(chat):
    who = (await chat.ask("Who are you?")).text
    await chat.call(str, who.replace("0text", "0journal"))
    answer = await chat.ask(who.replace("0text", "0said"), metadata={"note": who.replace("0text", "0metadata")})
    if answer.text == "agent":
        await chat.hand_over(ticket_fields={"1": who.replace("0text", "0ticket")})
    await chat.ask(f"{answer.text}, {who}?")
"""


def in_tables(folder: Path) -> str:
    """Every value of every table."""
    with closing(sqlite3.connect(folder / "bot.db")) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return "".join(repr(row) for table in tables for row in connection.execute(f"SELECT * FROM {table}"))  # noqa: S608


def in_files(folder: Path) -> bytes:
    """Every byte of every file of the database."""
    return b"".join(path.read_bytes() for name in FILES if (path := folder / name).exists())


@pytest.fixture
async def sandbox(request: pytest.FixtureRequest) -> AsyncIterator[Sandbox]:
    """The platform; a removed user's conversations are not told one by one."""
    switches = Switches(mode=request.param, user_removal_tells_conversations=False)
    async with Sandbox(switches=switches, time_scale=0.02) as made:
        yield made


@pytest.fixture
async def program(sandbox: Sandbox, tmp_path: Path) -> AsyncIterator[Program]:
    """The bot, connected."""
    (tmp_path / "personal_flows.py").write_text(FLOWS)
    settings = {**sandbox.settings_for_bot(), "FLOWS": "personal_flows", "OPENING_FLOW": "personal"}
    running = await launched("serve", tmp_path, settings)
    await running.until_ready()
    sandbox.connect(f"{running.url}/webhooks/sunshine")
    yield running
    await running.swept()


async def told(sandbox: Sandbox, program: Program, conversation_id: str, user_id: str, **profile: Any) -> None:
    """A delivery that shows the full user, as `includeFullUser` makes it, and one that can't be understood."""
    now = datetime.now(UTC).isoformat()
    user = {"id": user_id, "externalId": PERSONAL["external id"], "profile": profile, "metadata": {"x": "CANARY0"}}
    active = member_json(sandbox.switchboard.member(BOT))
    conversation = {"id": conversation_id, "activeSwitchboardIntegration": active}
    conversation["metadata"] = {"page": PERSONAL["widget"]}
    payloads: list[tuple[str, dict[str, Any]]] = [
        ("conversation:join", {"conversation": conversation, "user": user}),
        ("conversation:message", {"conversation": conversation, "message": {"text": PERSONAL["text"]}}),
        ("user:update", {"user": user}),
    ]
    events = [
        {"id": f"{user_id}{number}", "createdAt": now, "type": type_, "payload": payload}
        for number, (type_, payload) in enumerate(payloads)
    ]
    body = {"app": {"id": sandbox.app_id}, "webhook": {"id": "w", "version": "v2"}, "events": events}
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{program.url}/webhooks/sunshine", json=body, headers={"X-API-Key": sandbox.secret}) as answer,
    ):
        assert answer.status == 200


async def until_nothing_is_left(folder: Path) -> None:
    """Wait until no canary is stored anywhere, and say where one is if that takes too long."""
    end = time.monotonic() + 60
    while b"canary0" in in_files(folder).lower() or "canary0" in in_tables(folder).casefold():  # search has no capitals
        if time.monotonic() > end:
            where = [name for name, text in PERSONAL.items() if text.encode() in in_files(folder)]
            pytest.fail(f"still in the files: {where}; in the tables: {'CANARY0' in in_tables(folder)}")
        await asyncio.sleep(0.1)


@pytest.mark.parametrize(
    ("sandbox", "removed", "with_agent"),
    combined(
        ("pass", "user", True),
        ("release", "conversation", False),
        ("pass", "user", False),
        ("pass", "conversation", True),
        ("pass", "conversation", False),
        ("release", "user", True),
        ("release", "user", False),
        ("release", "conversation", True),
    ),
    indirect=["sandbox"],
)
async def test_removed(sandbox: Sandbox, program: Program, tmp_path: Path, removed: str, with_agent: bool) -> None:
    """While the bot runs, and within seconds; another person's conversation goes on."""
    visitor, other = sandbox.visitor(PERSONAL["name"]), sandbox.visitor("Bob")
    for person, text in ((visitor, PERSONAL["text"]), (other, "Bob")):
        await person.says("hello")
        await person.waits_for("Who are you?")
        await person.says(text)
    await other.waits_for("Bob")
    await visitor.waits_for(PERSONAL["said"])
    profile = {"givenName": PERSONAL["name"], "email": PERSONAL["email"], "avatarUrl": PERSONAL["avatar"]}
    await told(sandbox, program, visitor.conversation_id, visitor.user.id, **profile)
    assert PERSONAL["journal"].encode() in in_files(tmp_path)
    await visitor.says("agent" if with_agent else "go on")
    if with_agent:
        await sandbox.until(lambda: sandbox.switchboard.tickets or None, 10, "a ticket")
    else:
        await visitor.waits_for("go on")
    assert "'CANARY0@example.com'" in in_tables(tmp_path), "it finds the person"
    stored = in_files(tmp_path)
    missing = {name for name, text in PERSONAL.items() if text.encode() not in stored}
    assert missing == (set() if with_agent else {"ticket"})

    conversation_id = visitor.conversation_id
    if removed == "user":
        sandbox.switchboard.remove_user(visitor.user.id, now=sandbox.clock.now())
    else:
        sandbox.switchboard.remove_conversation(conversation_id, now=sandbox.clock.now())
    await until_nothing_is_left(tmp_path)
    await other.says("well")
    await other.waits_for("well, Bob?")
    assert await program.told_to_stop() == 0
    assert b"canary0" not in in_files(tmp_path).lower()
    assert conversation_id.encode() in in_files(tmp_path), "by this id, what comes late is known"


@pytest.mark.parametrize("count", some([500, 3000]))
async def test_what_moved_between_pages(tmp_path: Path, count: int) -> None:
    """Where SQLite has split and merged pages, a copy may be left in their unused parts, until they are scrubbed."""
    draw = random.Random(1)  # noqa: S311 - nothing secret
    migrate(f"sqlite:///{tmp_path}/bot.db")
    store = SqliteStore(tmp_path / "bot.db")
    await store.start()
    now = datetime.now(UTC)
    try:
        texts = {f"c{n}": f"CANARY{n % 2}x{n} " + "x" * draw.randint(10, 1500) for n in range(count)}
        await store.receive([NewEvent(f"e{id_}", id_, "x", text.encode(), now) for id_, text in texts.items()])
        works = await store.claim(owner="w", now=now, lease=timedelta(hours=1), limit=count)
        draw.shuffle(works)
        for work in works:
            id_ = work.state.id
            said = Say(f"s{id_}", 1, {"text": texts[id_]})
            waits = Change(work.state, handled=[f"e{id_}"], add=[said], done=[Done(f"s{id_}", "said")])
            await store.save(work.lease, waits, now)
        for work in works:
            if texts[work.state.id].startswith("CANARY0"):
                await store.save(work.lease, Change(replace(work.state, gone=True), forget=True), now)
        assert in_files(tmp_path).count(b"CANARY1") >= count
        await store.scrub()
        assert b"CANARY0" not in in_files(tmp_path)
        assert in_tables(tmp_path).count("CANARY1") == count
    finally:
        await store.stop()


async def test_purged(tmp_path: Path) -> None:
    """What retention deletes is gone from the files as well."""
    migrate(f"sqlite:///{tmp_path}/bot.db")
    store = SqliteStore(tmp_path / "bot.db")
    await store.start()
    now = datetime.now(UTC)
    try:
        await store.receive([NewEvent("e1", "c1", "x", b"CANARY0", now)])
        (work,) = await store.claim(owner="w", now=now, lease=timedelta(seconds=30), limit=1)
        journal = [JournalEntry(1, 0, "say", "k", "CANARY0")]
        known = {Contact(ContactKind.NAME, "Ada CANARY0")}
        change = Change(work.state, handled=["e1"], journal=journal, users={"u"}, contacts=known, release=True)
        await store.save(work.lease, change, now)
        assert b"ada canary0" in in_files(tmp_path)
        signals: list[Signal] = []
        clock = At(now + timedelta(days=31))
        await Retention(store, clock, signals.append, timedelta(days=30)).once()
        assert b"canary0" not in in_files(tmp_path).lower()
        assert [(signal.event, signal.fields["looked_at"]) for signal in signals] == [("purged", 1)]
    finally:
        await store.stop()


async def test_purge_fails() -> None:
    """Where the database is out of reach, it is told, and there is a next time."""
    signals: list[Signal] = []
    await Retention(SqliteStore("none.db"), At(datetime.now(UTC)), signals.append, timedelta(days=30)).once()
    assert [(signal.event, signal.level) for signal in signals] == [("purge_failed", Level.WARNING)]


class At:
    """A clock that stands still."""

    def __init__(self, moment: datetime) -> None:
        self._moment = moment

    def now(self) -> datetime:
        """Always the same."""
        return self._moment
