"""`/readyz` and the intake while the database does not keep up: over real HTTP, with the program as a process."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from bot_program import Program, launched

from bot.sandbox.sandbox import Sandbox
from webhooks.inbox import WAITING_LIMIT

A_DELIVERY = 1000  # events


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """The platform, which posts nothing by itself here."""
    async with Sandbox() as made:
        yield made


@pytest.fixture
async def web(sandbox: Sandbox, tmp_path: Path) -> AsyncIterator[Program]:
    """The web part alone: nobody but its intake writes to the database."""
    program = await launched("web", tmp_path, {**sandbox.settings_for_bot(), "LOG_LEVEL": "ERROR"})
    await program.until_ready()
    yield program
    await program.swept()


def a_delivery(number: int) -> bytes:
    """A delivery of events that nobody has seen yet."""
    events = [{"id": f"{number}-{n}", "type": "x:y", "payload": {}} for n in range(A_DELIVERY)]
    return json.dumps({"webhook": {"id": "w", "version": "v2"}, "events": events}).encode()


async def posted(http: aiohttp.ClientSession, web: Program, sandbox: Sandbox, number: int) -> int:
    """What a delivery is answered with."""
    headers = {"X-API-Key": sandbox.secret}
    async with http.post(f"{web.url}/webhooks/sunshine", data=a_delivery(number), headers=headers) as answer:
        return answer.status


async def readiness(http: aiohttp.ClientSession, web: Program) -> tuple[int, str]:
    """What `/readyz` says."""
    async with http.get(f"{web.url}/readyz") as answer:
        return answer.status, await answer.text()


async def test_an_intake_that_does_not_keep_up(web: Program, sandbox: Sandbox, tmp_path: Path) -> None:
    """Not ready while the database does not answer, or too much waits for it; 503 to what exceeds the limit."""
    fill = WAITING_LIMIT // A_DELIVERY
    blocker = sqlite3.connect(tmp_path / "bot.db", isolation_level=None)
    async with aiohttp.ClientSession() as http:
        blocker.execute("BEGIN IMMEDIATE")
        waiting = [asyncio.create_task(posted(http, web, sandbox, n)) for n in range(fill // 2 + 2)]
        assert await readiness(http, web) == (503, "not ready: no answer from the database in 2 s\n")
        status, text = await readiness(http, web)  # by now all of it has come in
        assert status == 503
        assert "wait to be stored" in text
        waiting += [asyncio.create_task(posted(http, web, sandbox, 100 + n)) for n in range(fill)]
        done, waiting_still = await asyncio.wait(waiting, timeout=3)
        assert {task.result() for task in done} == {503}
        async with http.get(f"{web.url}/healthz") as alive:
            assert alive.status == 200
        blocker.execute("ROLLBACK")
        assert set(await asyncio.gather(*waiting_still)) == {200}
        assert (await readiness(http, web))[0] == 200
        stored = blocker.execute("SELECT count(*) FROM inbox").fetchone()[0]
        assert stored == len(waiting_still) * A_DELIVERY
        assert await posted(http, web, sandbox, 0) == 200
    blocker.close()


async def test_a_database_that_is_not_migrated(web: Program, tmp_path: Path) -> None:
    """Somebody has put an older database in its place: no traffic, until it is mended."""
    with sqlite3.connect(tmp_path / "bot.db") as connection:
        (head,) = connection.execute("SELECT version_num FROM switchboard_bot_version").fetchone()
        connection.execute("UPDATE switchboard_bot_version SET version_num = '0000'")
    async with aiohttp.ClientSession() as http:
        status, text = await readiness(http, web)
        assert status == 503
        assert text == "not ready: the database can't be used\n"
        connection.execute("UPDATE switchboard_bot_version SET version_num = ?", (head,))
        connection.commit()
        assert (await readiness(http, web))[0] == 200
    connection.close()
