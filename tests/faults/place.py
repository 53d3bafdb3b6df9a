"""A running `serve` with the sandbox as the account, customers who come all the time, and its log."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from time import time
from typing import Any

import aiohttp

from bot.sandbox.sandbox import Sandbox

from .databases import Database

ROOT = Path(__file__).parents[2]
COMES_EVERY = 10.0  # seconds between two customers, each of whom ends the conversation after half of it
START = 60.0  # seconds for the bot to get ready

FLOWS = """
import time
from bot import CallFailed, Chat, flow
from bot.flows.assistant import assistant_with

async def price_of(order):
    raise ConnectionError(f"no route to {order}")

@flow("asks_backend")
async def asks_backend(chat: Chat) -> None:
    try:
        await chat.call(price_of, chat.opening.text)
    except CallFailed:
        await chat.hand_over()

@flow("blocks")
async def blocks(chat: Chat) -> None:
    await chat.say("One moment.")
    time.sleep(6)

def model(turns):
    raise TimeoutError(turns[-1]["content"])

assistant = assistant_with(model, "talks")
"""


@dataclass
class Place:
    """The bot, and what is around it.

    Attributes:
        struck: when the fault began, in seconds since 1970.
        ended: when the start was over, whether it was refused or not.
    """

    sandbox: Sandbox
    database: Database
    folder: Path
    settings: dict[str, str]
    process: asyncio.subprocess.Process | None = None
    port: int = 0
    struck: float = 0.0
    ended: float = 0.0

    @property
    def pid(self) -> int:
        """The bot's process."""
        assert self.process
        return self.process.pid

    async def starts(self) -> None:
        """Start the bot, and wait until it listens or has ended."""
        with (self.folder / "log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "bot", "serve", env=self.settings, cwd=self.folder, stdout=log, stderr=log
            )
        until = time() + START
        while time() < until and self.process.returncode is None:
            if any(line["event"] == "started" for line in self.lines()):
                self.port = next(line["port"] for line in self.lines() if line["event"] == "started")
                self.sandbox.connect(f"http://127.0.0.1:{self.port}/webhooks/sunshine")
                return
            await asyncio.sleep(0.05)

    async def customers(self) -> None:
        """Somebody comes every few seconds, writes, and ends the conversation."""
        while True:
            visitor = self.sandbox.visitor()
            with suppress(Exception):
                await visitor.says("words of a customer")
                await asyncio.sleep(COMES_EVERY / 2)
                await visitor.ends()
            await asyncio.sleep(COMES_EVERY / 2)

    def lines(self) -> list[dict[str, Any]]:
        """The log."""
        text = (self.folder / "log").read_text(errors="replace") if (self.folder / "log").exists() else ""
        found = []
        for line in text.splitlines():
            with suppress(ValueError):
                found.append(json.loads(line))
        return [line for line in found if isinstance(line, dict)]

    def plain(self) -> list[str]:
        """What was written that is no line of the log: why the start was refused."""
        return [line for line in (self.folder / "log").read_text().splitlines() if line and not line.startswith("{")]

    def told(self) -> list[dict[str, Any]]:
        """The warnings and errors since the fault began."""
        return [line for line in self.lines() if line.get("level") in ("warning", "error") and _at(line) >= self.struck]

    async def readiness(self) -> int:
        """What `/readyz` answers."""
        async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{self.port}/readyz") as answer:
            return answer.status


def _at(line: Mapping[str, Any]) -> float:
    return datetime.fromisoformat(line["timestamp"]).timestamp()


def seconds_until(place: Place) -> float | None:
    """How long after the fault's beginning the first warning or error came; None: never."""
    return next((max(0.0, _at(line) - place.struck) for line in place.told()), None)


Strike = Callable[[Place], Awaitable[None]]


@asynccontextmanager
async def placed(
    database: Database, settings: Mapping[str, str], prepare: Callable[[Sandbox], None]
) -> AsyncIterator[Place]:
    """The account and a place for the bot, which is not started yet."""
    with tempfile.TemporaryDirectory(prefix="faults-") as name:
        folder = Path(name)
        (folder / "faulty_flows.py").write_text(FLOWS)
        async with Sandbox() as sandbox:
            prepare(sandbox)
            environment = {
                "PATH": os.environ["PATH"],
                "PYTHONPATH": f"{ROOT}{os.pathsep}{folder}",
                "HOST": "127.0.0.1",
                "PORT": "0",
                "DATABASE_URL": database.url(folder),
                "OPENING_FLOW": "triage",
                **sandbox.settings_for_bot(),
            }
            place = Place(sandbox, database, folder, environment)
            place.settings |= {name: value.format(**_ids(sandbox)) for name, value in settings.items()}
            try:
                yield place
            finally:
                if place.process and place.process.returncode is None:
                    with suppress(ProcessLookupError):
                        place.process.send_signal(signal.SIGKILL)
                    await place.process.wait()


def _ids(sandbox: Sandbox) -> dict[str, str]:
    from bot.sandbox.switchboard import BOT

    return {"integration_id": sandbox.switchboard.member(BOT).integration_id}
