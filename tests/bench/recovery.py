"""Recovery: kill -9 with 10,000 owed releases, and the time from the new start to the first and the last proof.

The platform answers after 200 ms and posts a webhook for each release, which is the proof; the database is asked how
many are proven. The bare client makes the same calls, as many at a time, takes the same webhooks, and stores nothing.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import count

from .databases import PROVEN, number
from .deliveries import control_released, user_ends
from .figures import Figure, Sample, at_most, figure, rounds
from .load import BenchError, Sender, send_all
from .processes import Contestant, bot, bot_settings, launched
from .setting import Database, Setting
from .stub import RELEASE, Stub, now, platform

OWED = 10_000
LATENCY = 0.2  # of the API, in seconds
CONCURRENCY = 100
ROUNDS_LIMIT = 2
PATIENCE = 240.0  # seconds for all of them
GOAL = at_most(1.3)

_runs = count(1)


async def measure(setting: Setting) -> list[Figure]:
    """The bot on each database, beside the bare client."""
    owed = setting.sized(OWED)
    plays: dict[str, Callable[[], Awaitable[Sample]]] = {"bare": partial(_bare, setting, owed)}
    for database in setting.databases:
        plays[f"the bot, {database.name}"] = partial(_recovered, setting, database, owed)
    samples = await rounds(min(ROUNDS_LIMIT, setting.rounds), plays)
    figures = []
    for name in [name for name in plays if name != "bare"]:
        for quantity, goal in (("first", None), ("last", GOAL)):
            what = f"{name}: start to {quantity} of {owed} proven"
            figures.append(figure("recovery", what, "s", samples[name], "bare", samples["bare"], quantity, goal))
    return figures


async def _bare(setting: Setting, owed: int) -> Sample:
    async with platform(LATENCY) as stub:
        environment = {
            "SUNSHINE_BASE_URL": f"http://127.0.0.1:{stub.port}",
            "CALLS": str(owed),
            "CONCURRENCY": str(CONCURRENCY),
        }
        proven: list[float] = []
        began = now()
        command = [sys.executable, "-m", "tests.bench.contestants.bare_releases"]
        with launched("bare_releases", command, setting.folder, environment) as contestant:
            _prove(stub, contestant, lambda: proven.append(now()))
            return await _watch(contestant, began, owed, lambda: _number_of(proven))


async def _recovered(setting: Setting, database: Database, owed: int) -> Sample:
    url = database.new(f"recovery{next(_runs)}")
    async with platform(latency=3600) as silent, bot("serve", setting.folder, url, silent.port) as victim:
        ends = [user_ends(f"owed-{number}") for number in range(owed)]
        await send_all(victim.port, ends, connections=32)
        victim.kill()
    async with platform(LATENCY) as stub:
        environment = bot_settings(url, stub.port) | {"WORKER_CONCURRENCY": str(CONCURRENCY)}
        began = now()
        with launched("bot-serve", [sys.executable, "-m", "bot", "serve"], setting.folder, environment) as contestant:
            _prove(stub, contestant, lambda: None)
            return await _watch(contestant, began, owed, lambda: number(url, PROVEN))


def _prove(stub: Stub, contestant: Contestant, proven: Callable[[], None]) -> None:
    """Let the platform tell of each release that it has accepted."""
    sender = Sender(contestant.port, proven)

    def called(conversation_id: str, action: str) -> None:
        if action == RELEASE:
            request = control_released(conversation_id)
            asyncio.get_running_loop().call_later(LATENCY, sender.send, request)

    stub.on_call = called


async def _watch(contestant: Contestant, began: float, owed: int, proven: Callable[[], Awaitable[int]]) -> Sample:
    first = 0.0
    while now() - began < PATIENCE:
        contestant.check()
        done = await proven()
        first = first or (now() - began if done else 0.0)
        if done >= owed:
            return {"first": first, "last": now() - began}
        await asyncio.sleep(0.05)
    raise BenchError(f"{owed - done} of {owed} releases were not proven within {PATIENCE:g} s")


async def _number_of(proven: list[float]) -> int:
    return len(proven)
