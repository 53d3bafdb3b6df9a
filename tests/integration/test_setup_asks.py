"""`setup` at a terminal: it asks a person for what it does not know."""

from __future__ import annotations

import asyncio
import os
import pty
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
from bot_program import ROOT
from fresh_account import Place, fresh

from bot.sandbox import ANSWERS, BOT
from bot.settings import load_settings


class Terminal:
    """A command at a terminal, and what it has shown.

    Args:
        arguments: of the command line.
    """

    def __init__(self, *arguments: str) -> None:
        self.shown = ""
        self._arguments = arguments
        self._more = asyncio.Event()

    async def start(self) -> None:
        """Start it."""
        self._ours, theirs = pty.openpty()
        os.set_blocking(self._ours, False)
        asyncio.get_running_loop().add_reader(self._ours, self._read)
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "TERM": "dumb", "COLUMNS": "200"}
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "bot",
            *self._arguments,
            env=environment,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)

    def _read(self) -> None:
        with suppress(OSError):  # the other side has closed it
            self.shown += os.read(self._ours, 4096).decode()
        self._more.set()

    async def answers(self, asks: str, answer: str) -> None:
        """Wait until these words are shown, and type."""
        async with asyncio.timeout(60):
            while asks not in self.shown:
                self._more.clear()
                await self._more.wait()
        self.shown = ""
        os.write(self._ours, f"{answer}\n".encode())

    async def ended(self) -> int:
        """Wait for its end, and return its exit code."""
        async with asyncio.timeout(60):
            return await self._process.wait()

    async def swept(self) -> None:
        """End it if it still runs."""
        asyncio.get_running_loop().remove_reader(self._ours)
        os.close(self._ours)
        if self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    """An account that has never seen the bot."""
    async with fresh(tmp_path, "pass") as made:
        yield made


@pytest.fixture
async def terminal(place: Place) -> AsyncIterator[Terminal]:
    """`setup` at a terminal."""
    made = Terminal("setup", "--default-responder", "--env-file", str(place.file))
    await made.start()
    yield made
    await made.swept()


async def asked(place: Place, terminal: Terminal) -> str:
    """Answer all that it asks first, and return what it showed meanwhile."""
    shown = ""
    for asks, answer in (
        ("account's URL", place.sandbox.base_url),
        ("app's id", place.sandbox.app_id),
        ("id of an app-scoped key", place.sandbox.app_key.id),
        ("Its secret: ", place.sandbox.app_key.secret),  # the blank comes once input is no longer thrown away
        ("release or pass", "pass"),
        ("The bot's public URL", place.url),
    ):
        await terminal.answers(asks, answer)
        shown += terminal.shown
    return shown


async def test_a_person_is_asked(place: Place, terminal: Terminal) -> None:
    """For each thing that is missing, a secret without an echo; and before anything of others is changed."""
    shown = await asked(place, terminal)
    await terminal.answers("[y/N]", "y")
    assert await terminal.ended() == 0
    settings = load_settings(_env_file=place.file)
    board = place.sandbox.switchboard
    assert settings.sunshine_switchboard_integration == BOT
    assert board.default_id == board.member(BOT).id
    assert place.sandbox.app_key.secret not in shown + terminal.shown


async def test_a_no_changes_nothing(place: Place, terminal: Terminal) -> None:
    """Not even the file."""
    before = place.file.read_bytes()
    await asked(place, terminal)
    await terminal.answers("[y/N]", "n")
    assert await terminal.ended() == 1
    board = place.sandbox.switchboard
    assert board.default_id == board.member(ANSWERS).id
    assert place.writes() == []
    assert place.file.read_bytes() == before
