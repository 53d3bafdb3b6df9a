"""An operator knows within ten seconds what fails: `serve` as a process, against the sandbox."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from bot_program import ROOT, Program, launched
from tiers import combined, sqlite_first

from bot.sandbox.api import ApiRequest
from bot.sandbox.faults import Fault, Moment
from bot.sandbox.sandbox import Sandbox

WORDS = "words of a customer"
WITHIN = 10.0


class Place:
    """A running bot and its log."""

    def __init__(self, sandbox: Sandbox, program: Program, folder: Path) -> None:
        self.sandbox = sandbox
        self.program = program
        self.folder = folder
        self.log = folder / "log"

    def lines(self, event: str) -> list[dict[str, Any]]:
        """The log's lines of a name."""
        whole = [json.loads(line) for line in self.log.read_text().splitlines() if line.endswith("}")]
        return [line for line in whole if line["event"] == event]

    async def tells(self, what: str) -> dict[str, Any]:
        """Wait for the line, no longer than an operator should."""
        for _ in range(round(WITHIN / 0.1)):
            for line in self.lines("trouble_began"):
                if line["what"] == what:
                    return line
            await asyncio.sleep(0.1)
        pytest.fail(f"no line in {WITHIN:g} s: {self.log.read_text()}")

    async def somebody_writes(self) -> None:
        """A customer."""
        with suppress(TimeoutError):
            async with asyncio.timeout(1):
                await self.sandbox.visitor().says(WORDS)

    async def is_ready(self) -> bool:
        """What `/readyz` says."""
        async with aiohttp.ClientSession() as http, http.get(f"{self.program.url}/readyz") as answer:
            return answer.status == 200


@pytest.fixture
async def place(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    """All is well, but for the settings that a test asks for."""
    async with _serving(tmp_path, getattr(request, "param", {})) as made:
        yield made


@asynccontextmanager
async def _serving(tmp_path: Path, given: Mapping[str, str]) -> AsyncIterator[Place]:
    async with Sandbox(time_scale=0.02) as sandbox:
        settings = {**sandbox.settings_for_bot(), "LOG_LEVEL": "DEBUG", "OPENING_FLOW": "triage"}
        with (tmp_path / "log").open("wb") as log:
            program = await launched("serve", tmp_path, {**settings, **given}, log)
            await program.until_ready()
            sandbox.connect(f"{program.url}/webhooks/sunshine")
            made = Place(sandbox, program, tmp_path)
            yield made
            await program.swept()
        written = made.log.read_text()
        for forbidden in (WORDS, sandbox.secret, sandbox.integration_key.secret, sandbox.app_key.secret):
            assert forbidden not in written


async def test_a_revoked_key(place: Place) -> None:
    """While the bot runs: one line for all conversations."""
    place.sandbox.keys.put_back([])
    for _ in range(3):
        await place.somebody_writes()
    line = await place.tells("key")
    assert (line["level"], line["status"]) == ("error", 401)
    assert line["todo"]
    await asyncio.sleep(1)
    assert len(place.lines("trouble_began")) <= 2  # each key has its own


@pytest.mark.parametrize(
    ("fault", "what"),
    combined((Fault(status=503), "api"), (Fault(reset=True), "api"), (Fault(status=429), "rate_limit")),
)
async def test_an_api_that_fails(place: Place, fault: Fault, what: str) -> None:
    """At the first try, whatever is tried again; as an error if the check at the start meets it first."""

    def strikes(_: ApiRequest, moment: Moment) -> Fault | None:
        return fault if moment is Moment.BEFORE else None

    place.sandbox.server.faults = strikes
    await place.somebody_writes()
    line = await place.tells(what)
    assert line["level"] in ("warning", "error")
    assert line.get("status") == fault.status


async def test_a_lock(place: Place) -> None:
    """A backup or a shell keeps the database: not ready meanwhile, and ready again by itself."""
    blocker = sqlite3.connect(place.folder / "bot.db", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    assert (await place.tells("database"))["level"] == "error"
    assert not await place.is_ready()
    blocker.execute("ROLLBACK")
    blocker.close()
    for _ in range(100):
        if await place.is_ready():
            return
        await asyncio.sleep(0.1)
    pytest.fail("it never got ready again")


@pytest.mark.parametrize(
    ("place", "what"),
    combined(
        ({"SUNSHINE_KEY_SECRET": "wrong"}, "key"),
        ({"SUNSHINE_APP_ID": "another"}, "app"),
        ({"SUNSHINE_SWITCHBOARD_INTEGRATION": "another"}, "switchboard"),
        ({"SUNSHINE_BASE_URL": "http://127.0.0.1:9"}, "api"),
    ),
    indirect=["place"],
)
async def test_the_start_tells_the_truth(place: Place, what: str) -> None:
    """Before anybody writes, with what to do; and the process goes on."""
    line = await place.tells(what)
    assert line["level"] == "error"
    assert line["todo"]
    assert await place.is_ready()


BLOCKS = """
import time
from bot import Chat, flow

@flow("blocks")
async def blocks(chat: Chat) -> None:
    if chat.opening.text == "block":
        time.sleep(6)
    await chat.say("Here I am.")
"""


@sqlite_first
@pytest.mark.usefixtures("engine")
async def test_a_flow_that_blocks(tmp_path: Path) -> None:
    """Its name and line are told while it does, webhooks of others are stored meanwhile, and they are served then."""
    (tmp_path / "my_flows.py").write_text(BLOCKS)
    path = f"{ROOT}{os.pathsep}{tmp_path}"
    async with _serving(tmp_path, {"FLOWS": "my_flows", "OPENING_FLOW": "blocks", "PYTHONPATH": path}) as place:
        await place.sandbox.visitor().says("block")
        await asyncio.sleep(0.5)
        other = place.sandbox.visitor()
        began = time.monotonic()
        await other.says(WORDS)
        await place.sandbox.sender.settled()
        assert time.monotonic() - began < 4
        assert place.lines("trouble_over") == []
        line = await place.tells("loop")
        assert (line["level"], line["where"]) == ("error", "blocks")
        assert "my_flows.py:8 in blocks" in line["problem"]
        await other.waits_for("Here I am.")
        assert len(place.lines("trouble_began")) == 1
