"""`kill -9` at random moments, under load, over real HTTP: G1 to G5 hold, by the platform's history and the database.

    KILLS=50 pytest tests/integration/test_kill.py --log-cli-level=INFO

does it fifty times, half of them in each control mode, and tells the figures; SEED chooses other moments.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import sqlite3
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path

import aiohttp
import pytest
from bot_program import Program, free_port, launched

from bot.control.state import Conversation
from bot.sandbox.api import ApiRequest
from bot.sandbox.errors import ApiError, NotPossibleError
from bot.sandbox.faults import Fault, Moment
from bot.sandbox.history import Kind
from bot.sandbox.sandbox import Sandbox
from bot.sandbox.switches import Switches
from bot.sandbox.users import Visitor
from bot.simulation.checks import violations
from bot.simulation.record import Acknowledged, Called, Record
from bot.simulation.scenario import OPENINGS
from bot.store import SqliteStore

KILLS = int(os.environ.get("KILLS", "8"))
SEED = int(os.environ.get("SEED", "1"))
MODES = ("release", "pass")
ALL_ATTEMPTS = 900.0  # seconds from the platform's first try of a delivery to its last
A_KILL = 5.0  # seconds from one start to the next, on a slow machine
NEVER_LOGGED = {"session_failed", "worker_failed", "task_failed", "event_set_aside"}

_log = logging.getLogger(__name__)


@pytest.mark.timeout(120 + 15 * KILLS)
@pytest.mark.parametrize("mode", MODES)
async def test_kill_9_at_random_moments(mode: str, tmp_path: Path) -> None:
    """Every ended conversation closes with proof, nothing is lost, said twice, out of order, or taken from others."""
    kills = max(1, KILLS // len(MODES))
    rng = random.Random(f"{SEED} {mode}")  # noqa: S311 - repeatable is what it must be
    battle = Battle(mode, tmp_path, rng, kills)
    record = await battle.fought()
    _log.info("%s: %s", mode, battle.figures)
    if battle.figures["deliveries given up"]:
        pytest.skip("the machine is too slow: the outage outlasted all of the platform's attempts")
    assert violations(record) == []
    ended = {entry.conversation_id for entry in record.history if entry.kind is Kind.ENDED}
    assert len(ended) >= kills, "there was hardly any load"
    still_open = [id_ for id_ in ended if id_ and record.holders[id_] is not None]
    assert still_open == []
    without_proof = [id_ for id_ in ended if id_ and not (id_ in record.states and record.states[id_].closed)]
    assert without_proof == []
    assert battle.logged() & NEVER_LOGGED == set()


class Battle:
    """People who talk, a bot that is killed again and again, and the record of it.

    Args:
        mode: the control mode.
        folder: where the bot runs; its database is `bot.db`.
        rng: chooses what people do, and the moments.
        kills: how many.

    Attributes:
        figures: what there was of it, for people.
    """

    def __init__(self, mode: str, folder: Path, rng: random.Random, kills: int) -> None:
        self._folder = folder
        self._rng = rng
        self._kills = kills
        self._record = Record()
        self._under_way: dict[int, tuple[Called, datetime]] = {}  # calls, and when their answer is sent
        self._first_sent: dict[str, datetime] = {}
        self._words = count(1)
        self._errors = folder / "errors.log"
        self.figures: dict[str, float] = {}
        # As on the platform, a delivery's last attempt comes later than all of the outage.
        scale = max(20.0, kills * A_KILL) / ALL_ATTEMPTS
        self._patience = 60 + scale * ALL_ATTEMPTS
        self._sandbox = Sandbox(
            switches=Switches(mode="pass" if mode == "pass" else "release"), time_scale=scale, post=self._post
        )
        self._sandbox.server.faults = self._latency
        self._settings = {
            "FLOWS": "bot.simulation.flows",
            "OPENING_FLOW": "opening",
            "CLOSING_FLOW": "closing",
            "FLOW_IDLE_TIMEOUT": "5s",
            "CLOSING_TIMEOUT": "3s",
            "RELEASE_GRACE": "1s",
            "PORT": str(free_port()),
        }

    async def fought(self) -> Record:
        """Play it all, and return the record."""
        began = asyncio.get_running_loop().time()
        async with aiohttp.ClientSession() as self._http, self._sandbox as sandbox:
            self._settings |= sandbox.settings_for_bot()
            sandbox.connect(f"http://127.0.0.1:{self._settings['PORT']}/webhooks/sunshine")
            with self._errors.open("ab") as errors:
                people = asyncio.create_task(self._people())
                for _ in range(self._kills):
                    await self._lives_and_dies(errors.fileno())
                people.cancel()
                with suppress(asyncio.CancelledError):
                    await people
                last = await launched("serve", self._folder, self._settings, errors.fileno())
                try:
                    await self._until_rest(last)
                    assert await last.told_to_stop() == 0
                finally:
                    await last.swept()
        self.figures |= {
            "kills": self._kills,
            "seconds": round(asyncio.get_running_loop().time() - began, 1),
            "conversations": len(self._record.holders),
            "events": len(self._record.inbox),
            "deliveries tried": len(sandbox.sender.attempts),
            "deliveries given up": sum(tried.final and not tried.delivered for tried in sandbox.sender.attempts),
            "calls": len(self._record.calls),
            "calls cut off": sum(call.unclear for call in self._record.calls),
        }
        return self._record

    def logged(self) -> set[str]:
        """The names of what the bot logged."""
        return {json.loads(line)["event"] for line in self._errors.read_text().splitlines()}

    # -- the bot -----------------------------------------------------------------------------------------------------

    async def _lives_and_dies(self, errors: int) -> None:
        """One life: mostly until some time after it was ready, sometimes it does not get that far."""
        settings = {**self._settings, "LOG_LEVEL": "WARNING"}
        program = await launched("serve", self._folder, settings, errors)
        try:
            if self._rng.random() < 0.8:
                await program.until_ready()
            await asyncio.sleep(self._rng.uniform(0.2, 1.0))
            await program.killed()
        finally:
            await program.swept()
        now = self._sandbox.clock.now()
        for called, answered_at in self._under_way.values():
            if answered_at > now:
                called.told, called.unclear = False, True

    async def _until_rest(self, program: Program) -> None:
        """Wait until nothing is on its way and the bot owes nothing; then write down what it has stored."""
        await program.until_ready()
        record, sandbox = self._record, self._sandbox
        store = SqliteStore(self._folder / "bot.db")
        await store.start()
        try:
            end = asyncio.get_running_loop().time() + self._patience
            while not record.rests and asyncio.get_running_loop().time() < end:
                await asyncio.sleep(0.1)
                counts = await store.counts(sandbox.clock.now())
                owed = counts.owed or counts.inbox or counts.outbox or counts.held or counts.ended_open
                record.rests = not owed and sandbox.sender.is_idle
            record.history = list(sandbox.switchboard.history)
            record.key, record.app_key = sandbox.integration_key.id, sandbox.app_key.id
            for id_ in sandbox.switchboard.history.conversations():
                record.holders[id_] = sandbox.switchboard.holder(id_)
                state: Conversation | None = await store.find(id_)
                if state:
                    record.states[id_] = state
        finally:
            await store.stop()
        connection = sqlite3.connect(self._folder / "bot.db")
        record.inbox = dict(connection.execute("SELECT id, status FROM inbox"))
        connection.close()

    # -- the way between -----------------------------------------------------------------------------------------------

    async def _post(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        events = json.loads(body)["events"]
        for event in events:
            self._first_sent.setdefault(event["id"], self._sandbox.clock.now())
        try:
            async with self._http.post(url, data=body, headers=dict(headers)) as answer:
                status = answer.status
        except aiohttp.ClientError as error:
            raise OSError(str(error)) from error
        if 200 <= status < 300:
            at = self._sandbox.clock.now()
            self._record.acknowledged += [Acknowledged(at, self._first_sent[event["id"]], event) for event in events]
        return status

    def _latency(self, request: ApiRequest, moment: Moment) -> Fault | None:
        """The way to the platform and back takes time, so that a kill strikes on the way. What was sent arrives."""
        delay, now = self._rng.uniform(0, 0.15), self._sandbox.clock.now()
        if moment is Moment.BEFORE:
            called = Called(now, request.method, request.path, json.loads(request.body) if request.body else {})
            self._record.calls.append(called)
            self._under_way[id(request)] = (called, now + timedelta(days=1))
        else:
            self._under_way[id(request)] = (self._under_way[id(request)][0], now + timedelta(seconds=delay))
        return Fault(delay=delay)

    # -- people --------------------------------------------------------------------------------------------------------

    async def _people(self) -> None:
        """Somebody new all the time; when no more are to come, those who are there go on to their end."""
        talks: set[asyncio.Task[None]] = set()
        try:
            while True:
                talks.add(asyncio.create_task(self._talk()))
                await asyncio.sleep(self._rng.uniform(0.1, 0.3))
        finally:
            await asyncio.gather(*talks)

    async def _talk(self) -> None:
        """One conversation, which the user ends at some moment."""
        visitor = self._sandbox.visitor()
        await visitor.says(self._rng.choice(OPENINGS))
        for _ in range(self._rng.randint(0, 4)):
            await asyncio.sleep(self._rng.uniform(0, 1.2))
            with suppress(NotPossibleError, ApiError, LookupError):
                await self._something(visitor)
        await asyncio.sleep(self._rng.uniform(0, 1.5))
        await visitor.ends()
        await asyncio.sleep(self._rng.uniform(0, 2.0))
        with suppress(NotPossibleError, ApiError, LookupError):
            await visitor.taps("Good")

    async def _something(self, visitor: Visitor) -> None:
        board, now = self._sandbox.switchboard, self._sandbox.clock.now()
        match self._rng.choice(("says", "says", "says", "agent", "closes")):
            case "says":
                await visitor.says(f"words {next(self._words)}")
            case "agent":
                board.agent_says(visitor.conversation_id, "agent here", now)
            case _:
                board.close_ticket(visitor.conversation_id, now)
