"""A fight between people who talk, a platform that keeps its word, and somebody who kills the bot: and who has won.

`test_kill` fights one process on SQLite, `test_chaos` several on PostgreSQL.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path

import aiohttp
import pytest

from bot.control.state import Conversation
from bot.sandbox.api import ApiRequest
from bot.sandbox.errors import ApiError, NotPossibleError
from bot.sandbox.faults import Fault, Moment
from bot.sandbox.history import Kind
from bot.sandbox.sandbox import Sandbox
from bot.sandbox.scripted_people import Visitor
from bot.sandbox.switches import Switches
from bot.simulation.checks import violations
from bot.simulation.record import Acknowledged, Called, Record
from bot.simulation.scenario import OPENINGS
from bot.store import Counts, Store, StoreError

MODES = ("release", "pass")
ALL_ATTEMPTS = 900.0  # seconds from the platform's first try of a delivery to its last
NEVER_LOGGED = {"session_failed", "worker_failed", "task_failed", "event_set_aside"}

REFUSAL = "DATABASE_URL: "  # a process that was started while there was no database


class Battle:
    """People who talk, a bot to which things happen, and the record of it.

    Args:
        mode: the control mode.
        folder: where the bot runs.
        rng: chooses what people do, and the moments.
        outage: seconds; nothing is away for longer than that.
        pace: seconds between one visitor and the next, at most.

    Attributes:
        record: what the checks look at.
        sandbox: the platform.
        settings: the bot's environment.
        figures: what there was of it, for people.
    """

    def __init__(self, mode: str, folder: Path, rng: random.Random, *, outage: float, pace: float = 0.3) -> None:
        self.record = Record()
        self.figures: dict[str, float] = {}
        self._folder = folder
        self._rng = rng
        self._pace = pace
        self._under_way: dict[int, tuple[Called, datetime, str]] = {}  # calls, until when, and who made them
        self._first_sent: dict[str, datetime] = {}
        self._words = count(1)
        self._errors = folder / "errors.log"
        # As on the platform, a delivery's last attempt comes later than all of the outage.
        scale = outage / ALL_ATTEMPTS
        self._patience = 60 + outage
        self.sandbox = Sandbox(
            switches=Switches(mode="pass" if mode == "pass" else "release"), time_scale=scale, post=self._post
        )
        self.sandbox.server.faults = self._latency
        self.settings = {
            "FLOWS": "bot.simulation.flows",
            "OPENING_FLOW": "opening",
            "CLOSING_FLOW": "closing",
            "FLOW_IDLE_TIMEOUT": "5s",
            "CLOSING_TIMEOUT": "3s",
            "RELEASE_GRACE": "1s",
        }

    @asynccontextmanager
    async def _field(self) -> AsyncIterator[int]:
        """The platform, and a file for what the bot writes to standard error."""
        began = asyncio.get_running_loop().time()
        async with aiohttp.ClientSession() as self._http, self.sandbox as sandbox:
            self.settings |= sandbox.settings_for_bot()
            with self._errors.open("ab") as errors:
                yield errors.fileno()
        self.figures |= {
            "seconds": round(asyncio.get_running_loop().time() - began, 1),
            "conversations": len(self.record.holders),
            "events": len(self.record.inbox),
            "deliveries tried": len(sandbox.sender.attempts),
            "deliveries given up": sum(tried.final and not tried.delivered for tried in sandbox.sender.attempts),
            "calls": len(self.record.calls),
            "calls cut off": sum(call.unclear for call in self.record.calls),
        }

    @asynccontextmanager
    async def _people(self) -> AsyncIterator[None]:
        """Somebody new all the time; when no more are to come, those who are there go on to their end."""
        coming = asyncio.create_task(self._come())
        try:
            yield
        finally:
            coming.cancel()
            with suppress(asyncio.CancelledError):
                await coming

    def judge(self, least: int) -> None:
        """Every ended conversation is closed with proof; nothing is lost, said twice, out of order, or taken away.

        Args:
            least: so many conversations must have ended for the fight to count.
        """
        if self.figures["deliveries given up"]:
            pytest.skip("the machine is too slow: the outage outlasted all of the platform's attempts")
        record = self.record
        assert violations(record) == []
        ended = {entry.conversation_id for entry in record.history if entry.kind is Kind.ENDED}
        assert len(ended) >= least, "there was hardly any load"
        still_open = [id_ for id_ in ended if id_ and record.holders[id_] is not None]
        assert still_open == []
        without_proof = [id_ for id_ in ended if id_ and not (id_ in record.states and record.states[id_].closed)]
        assert without_proof == []
        lines = [line for line in self._errors.read_text().splitlines() if not line.startswith(REFUSAL)]
        assert {json.loads(line)["event"] for line in lines} & NEVER_LOGGED == set()

    async def _until_rest(self, store: Store) -> None:
        """Wait until nothing is on its way and the bot owes nothing; then write down what it has stored."""
        record, sandbox = self.record, self.sandbox
        end = asyncio.get_running_loop().time() + self._patience
        while not record.rests and asyncio.get_running_loop().time() < end:
            await asyncio.sleep(0.1)
            with suppress(StoreError):
                record.rests = _rests(await store.counts(sandbox.clock.now())) and sandbox.sender.is_idle
        record.history = list(sandbox.switchboard.history)
        record.key, record.app_key = sandbox.integration_key.id, sandbox.app_key.id
        for id_ in sandbox.switchboard.history.conversations():
            record.holders[id_] = sandbox.switchboard.holder(id_)
            state: Conversation | None = await store.find(id_)
            if state:
                record.states[id_] = state

    def _cut_off(self, caller: str) -> None:
        """Somebody is dead: whatever answer was on its way there, nobody has read it."""
        now = self.sandbox.clock.now()
        for called, answered_at, by in self._under_way.values():
            if by == caller and answered_at > now:
                called.told, called.unclear = False, True

    # -- the way between -----------------------------------------------------------------------------------------------

    def _doors(self, url: str) -> Sequence[str]:
        """Where a delivery may go: to the first that can be reached."""
        return [url]

    async def _post(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        events = json.loads(body)["events"]
        for event in events:
            self._first_sent.setdefault(event["id"], self.sandbox.clock.now())
        status = await self._delivered(self._doors(url), headers, body)
        if 200 <= status < 300:
            at = self.sandbox.clock.now()
            self.record.acknowledged += [Acknowledged(at, self._first_sent[event["id"]], event) for event in events]
        return status

    async def _delivered(self, doors: Sequence[str], headers: Mapping[str, str], body: bytes) -> int:
        for left, door in zip(reversed(range(len(doors))), doors, strict=True):
            try:
                async with self._http.post(door, data=body, headers=dict(headers)) as answer:
                    return answer.status
            except aiohttp.ClientError as error:
                if not left or not isinstance(error, aiohttp.ClientConnectorError):
                    raise OSError(str(error)) from error
        raise AssertionError

    def _latency(self, request: ApiRequest, moment: Moment) -> Fault | None:
        """The way to the platform and back takes time, so that a kill strikes on the way. What was sent arrives."""
        delay, now = self._rng.uniform(0, 0.15), self.sandbox.clock.now()
        caller = request.headers.get("user-agent", "")
        if moment is Moment.BEFORE:
            called = Called(now, request.method, request.path, json.loads(request.body) if request.body else {})
            self.record.calls.append(called)
            self._under_way[id(request)] = (called, now + timedelta(days=1), caller)
        else:
            called = self._under_way[id(request)][0]
            called.place, called.answered = len(self.sandbox.switchboard.history), now + timedelta(seconds=delay)
            self._under_way[id(request)] = (called, now + timedelta(seconds=delay), caller)
        return Fault(delay=delay)

    # -- people --------------------------------------------------------------------------------------------------------

    async def _come(self) -> None:
        talks: set[asyncio.Task[None]] = set()
        try:
            while True:
                talks.add(asyncio.create_task(self._talk()))
                await asyncio.sleep(self._rng.uniform(self._pace / 3, self._pace))
        finally:
            await asyncio.gather(*talks)

    async def _talk(self) -> None:
        """One conversation, which the user ends at some moment."""
        visitor = self.sandbox.visitor()
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
        board, now = self.sandbox.switchboard, self.sandbox.clock.now()
        match self._rng.choice(("says", "says", "says", "agent", "closes")):
            case "says":
                await visitor.says(f"words {next(self._words)}")
            case "agent":
                board.agent_says(visitor.conversation_id, "agent here", now)
            case _:
                board.close_ticket(visitor.conversation_id, now)


def _rests(counts: Counts) -> bool:
    return not (counts.owed or counts.inbox or counts.outbox or counts.held or counts.ended_open)
