"""Two `worker` processes share a database; one dies for good, or is paused. The other one takes over."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import asyncpg
import pytest
from bot_program import Program, launched
from postgres_server import CHOSEN
from tiers import postgres_first, sqlite_first

from bot.engine.context import LEASE
from bot.engine.delivery import EFFECT_KEY
from bot.sandbox.sandbox import Sandbox
from bot.sandbox.scripted_people import Visitor
from bot.sandbox.switches import Switches

FLOWS = """
import asyncio
from bot import flow

async def never():
    await asyncio.Event().wait()

@flow("slow")
async def slow(chat):
    await chat.say("Let me see.")
    await chat.call(never)

@flow("asks")
async def asks(chat):
    await chat.ask("Well?")
    await chat.say("Thank you.")
"""
SOON = 60.0  # seconds until a test gives up, on a very busy machine
_LEASE = "SELECT lease_owner, lease_until FROM conversations WHERE lease_until IS NOT NULL"

_log = logging.getLogger(__name__)


class Place:
    """A `web` and two `worker` processes on the sandbox."""

    def __init__(self, sandbox: Sandbox, folder: Path) -> None:
        self.sandbox = sandbox
        self._folder = folder
        self.programs: list[Program] = []
        self.workers: dict[int, Program] = {}

    async def begins(self, flow: str) -> Visitor:
        """Start the processes; somebody writes, and a flow begins."""
        (self._folder / "team_flows.py").write_text(FLOWS)
        settings = {**self.sandbox.settings_for_bot(), "FLOWS": "team_flows", "OPENING_FLOW": flow}
        for command in ("web", "worker", "worker"):
            program = await launched(command, self._folder, settings, asyncio.subprocess.DEVNULL)
            self.programs.append(program)
            if command == "web":
                await program.until_ready(SOON)
                self.sandbox.connect(f"{program.url}/webhooks/sunshine")
            else:
                self.workers[program.process.pid] = program
        visitor = self.sandbox.visitor()
        await visitor.says("hi")
        return visitor

    async def lease(self) -> tuple[int, float] | None:
        """Return who has the conversation (process id), and until when (seconds since 1970); None: nobody."""
        if CHOSEN.url:
            connection = await asyncpg.connect(CHOSEN.url, server_settings={"search_path": "switchboard_bot"})
            row = await connection.fetchrow(_LEASE)
            await connection.close()
        else:
            with closing(sqlite3.connect(self._folder / "bot.db")) as file:
                row = file.execute(_LEASE).fetchone()
        return (int(row[0].split(":")[2]), row[1] / 1_000_000) if row else None

    async def leased_by(self, *, other_than: int | None = None) -> int:
        """Wait until a worker has the conversation, and return its process id."""
        async with asyncio.timeout(SOON):
            while (found := await self.lease()) is None or found[0] == other_than:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.1)
        return found[0]

    async def holder_paused(self) -> int:
        """Pause the worker that has the conversation, and return its process id.

        With SQLite, a worker that is paused within a transaction keeps the file locked, and nobody can take over. Then
        it goes on, and is paused at another moment.
        """
        while True:
            holder = await self.leased_by()
            os.kill(holder, signal.SIGSTOP)
            if CHOSEN.url is None and not await asyncio.to_thread(self._can_be_written):
                _log.info("paused within a transaction")
                os.kill(holder, signal.SIGCONT)
                await asyncio.sleep(0.1)
            else:
                return holder

    def _can_be_written(self) -> bool:
        with closing(sqlite3.connect(self._folder / "bot.db", timeout=5, isolation_level=None)) as file:
            try:
                file.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return False
            file.execute("ROLLBACK")
            return True


@pytest.fixture
async def place(engine: str, tmp_path: Path) -> AsyncIterator[Place]:
    """On SQLite and on PostgreSQL."""
    async with Sandbox(switches=Switches(mode="pass"), time_scale=0.02) as sandbox:
        made = Place(sandbox, tmp_path)
        yield made
        for program in made.programs:
            await program.swept()


def said(visitor: Visitor) -> list[str]:
    """Return what the bot said."""
    return [message.text for message in visitor.messages if EFFECT_KEY in (message.metadata or {})]


@sqlite_first
async def test_it_dies_at_work(place: Place) -> None:
    """Its lease is over within eight seconds; no other process has to start for that."""
    visitor = await place.begins("slow")
    await visitor.waits_for("Let me see.", SOON)
    dead = await place.leased_by()
    await place.workers[dead].killed()
    killed = time.time()
    lease = await place.lease()
    assert lease is None or lease[0] != dead or lease[1] <= killed + LEASE.total_seconds()
    await place.leased_by(other_than=dead)
    _log.info("taken over after %.1f s", time.time() - killed)
    assert said(visitor) == ["Let me see."]


@pytest.mark.long
async def test_it_dies_at_rest(place: Place) -> None:
    """What the user says then is answered by the other one."""
    visitor = await place.begins("asks")
    await visitor.waits_for("Well?", SOON)
    dead, alive = place.workers.values()
    await dead.killed()
    await visitor.says("fine")
    await visitor.waits_for("Thank you.", SOON)
    assert alive.process.returncode is None
    assert said(visitor) == ["Well?", "Thank you."]


@pytest.mark.long
@postgres_first
async def test_it_is_paused_and_comes_back(place: Place) -> None:
    """It says nothing more in a conversation that the other one has, and lives on."""
    visitor = await place.begins("slow")
    await visitor.waits_for("Let me see.", SOON)
    paused = await place.holder_paused()
    try:
        other = await place.leased_by(other_than=paused)
    finally:
        os.kill(paused, signal.SIGCONT)
    await asyncio.sleep(1)
    assert await place.leased_by() == other
    assert all(worker.process.returncode is None for worker in place.workers.values())
    assert said(visitor) == ["Let me see."]
