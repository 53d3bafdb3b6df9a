"""`kill -9` at random moments, under load, over real HTTP: G1 to G5 hold, by the platform's history and the database.

    KILLS=50 pytest tests/integration/test_kill.py --log-cli-level=INFO

does it fifty times, half of them in each control mode, and tells the figures; SEED chooses other moments.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import sqlite3
from pathlib import Path

import pytest
from battle import MODES, Battle
from bot_program import free_port, launched
from tiers import combined

from bot.store import SqliteStore

GIVEN = os.environ.get("KILLS")
FORMS = (
    [(mode, max(1, int(GIVEN) // len(MODES))) for mode in MODES]
    if GIVEN
    else combined(("pass", 2), ("pass", 4), ("release", 4))
)  # control mode, and how many kills
SEED = int(os.environ.get("SEED", "1"))
A_KILL = 5.0  # seconds from one start to the next, on a slow machine
CALLER = "switchboard-bot"

_log = logging.getLogger(__name__)


@pytest.mark.timeout(180 + 15 * int(GIVEN or 0))
@pytest.mark.parametrize(("mode", "kills"), FORMS)
async def test_kill_9_at_random_moments(mode: str, kills: int, tmp_path: Path) -> None:
    """Every ended conversation closes with proof, nothing is lost, said twice, out of order, or taken from others."""
    rng = random.Random(f"{SEED} {mode}")  # noqa: S311 - repeatable is what it must be
    killing = Killing(mode, tmp_path, rng, kills)
    await killing.fought()
    _log.info("%s: %s", mode, killing.figures)
    killing.judge(least=kills)


class Killing(Battle):
    """One process, which is killed again and again. Its database is `bot.db`."""

    def __init__(self, mode: str, folder: Path, rng: random.Random, kills: int) -> None:
        super().__init__(mode, folder, rng, outage=max(20.0, kills * A_KILL))
        self._kills = kills
        self.settings["PORT"] = str(free_port())

    async def fought(self) -> None:
        """Play it all."""
        async with self._field() as errors:
            self.sandbox.connect(f"http://127.0.0.1:{self.settings['PORT']}/webhooks/sunshine")
            async with self._people():
                for _ in range(self._kills):
                    await self._lives_and_dies(errors)
            last = await launched("serve", self._folder, self.settings, errors)
            try:
                await last.until_ready()
                await self._at_rest()
                assert await last.told_to_stop() == 0
            finally:
                await last.swept()
        self.figures["kills"] = self._kills

    async def _lives_and_dies(self, errors: int) -> None:
        """One life: mostly until some time after it was ready, sometimes it does not get that far."""
        settings = {**self.settings, "LOG_LEVEL": "WARNING"}
        program = await launched("serve", self._folder, settings, errors)
        try:
            if self._rng.random() < 0.8:
                await program.until_ready()
            await asyncio.sleep(self._rng.uniform(0.2, 1.0))
            await program.killed()
        finally:
            await program.swept()
        self._cut_off(CALLER)

    async def _at_rest(self) -> None:
        store = SqliteStore(self._folder / "bot.db")
        await store.start()
        try:
            await self._until_rest(store)
        finally:
            await store.stop()
        connection = sqlite3.connect(self._folder / "bot.db")
        self.record.inbox = dict(connection.execute("SELECT id, status FROM inbox"))
        connection.close()
