"""Scale-out: turns a second of 1, 2 and 4 workers on PostgreSQL, with one web process before them.

The API answers in 50 ms, and a worker has five conversations at work at once: so a worker takes at most 100 turns a
second, and what limits is the API and not this machine's cores.
"""

from __future__ import annotations

import sys
from contextlib import AsyncExitStack
from functools import partial

from .figures import Figure, at_least, figure, rounds
from .processes import bot, bot_settings, launched
from .setting import Setting
from .stub import platform
from .turns import Talk

WORKERS = (1, 2, 4)
CONCURRENCY = 5
LATENCY = 0.05
USERS = 64
SECONDS = 5.0
GOALS = {4: at_least(3.5)}


async def measure(setting: Setting) -> list[Figure]:
    """Each number of workers has a database, a web process and a platform of its own."""
    database = next((database for database in setting.databases if database.name == "PostgreSQL"), None)
    if database is None:
        return []
    async with AsyncExitStack() as stack:
        plays = {}
        for workers in WORKERS:
            stub = await stack.enter_async_context(platform(LATENCY))
            url = database.new(f"scale_out{workers}")
            web = await stack.enter_async_context(bot("web", setting.folder, url, stub.port))
            environment = bot_settings(url, stub.port) | {"WORKER_CONCURRENCY": str(CONCURRENCY)}
            for _ in range(workers):
                command = [sys.executable, "-m", "bot", "worker"]
                stack.enter_context(launched("bot-worker", command, setting.folder, environment))
            talk = Talk(web, stub)
            plays[str(workers)] = partial(talk.round, setting.lasting(SECONDS), LATENCY, USERS)
        for play in plays.values():
            await play()  # warm
        samples = await rounds(setting.rounds, plays)
    one = samples["1"]
    return [
        figure("scale-out", f"{workers} workers", "turns/s", samples[str(workers)], "1 worker", one, "rate", goal)
        for workers, goal in ((workers, GOALS.get(workers)) for workers in WORKERS[1:])
    ]
