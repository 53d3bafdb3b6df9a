"""Turns: a user writes, a step runs and makes one call, durably; how many a second one process does.

256 users write in as many conversations, each again as soon as the call that answers has come. All contestants take the
same webhook with aiohttp, and call with the same client; they differ in what makes the step durable.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from functools import partial
from itertools import count

from .deliveries import user_writes
from .figures import Figure, Sample, at_least, figure, rounds
from .load import BenchError, Sender
from .processes import Contestant, bot, served
from .setting import Setting
from .stub import SAY, Stub, now, platform

USERS = 256
SECONDS = 4.0  # a round
PATIENCE = 15.0  # seconds for what is still to be answered then; it does not count
SETTLING = 0.5  # seconds for what is still to be written after the last call
LATENCIES = (0.0, 0.05)  # of the API, in seconds
SETTINGS = {"WORKER_CONCURRENCY": str(USERS)}
GOALS = {"procrastinate": at_least(5), "dbos": at_least(5), "pgqueuer": at_least(1)}

_numbers = count(1)


@dataclass(frozen=True, slots=True)
class Talk:
    """One contestant with a platform of its own."""

    contestant: Contestant
    stub: Stub

    async def round(self, seconds: float, latency: float = 0.0, users: int = USERS) -> Sample:
        """Turns in new conversations, for some seconds.

        Returns:
            `rate` (turns a second) and `cpu` (milliseconds of the contestant's CPU for a turn).
        """
        self.stub.latency = latency
        sender = Sender(self.contestant.port)
        turns, talking, until = 0, users, now() + seconds
        over = asyncio.Event()

        def answered(conversation_id: str, action: str) -> None:
            nonlocal turns, talking
            if action == SAY and now() < until:
                turns += 1
                sender.send(user_writes(conversation_id))
            elif action == SAY:
                talking -= 1
                if not talking:
                    over.set()

        self.stub.on_call = answered
        used = self.contestant.cpu_seconds
        for _ in range(users):
            sender.send(user_writes(f"conversation-{next(_numbers)}"))
        await asyncio.sleep(seconds)
        used = self.contestant.cpu_seconds - used
        self.contestant.check()
        with suppress(TimeoutError):
            await asyncio.wait_for(over.wait(), PATIENCE)
        await asyncio.sleep(SETTLING)
        sender.close()
        if sender.refused or talking == users:
            raise BenchError(f"{turns} turns, and {sender.refused} webhooks were not answered 200")
        return {"rate": max(1, turns) / seconds, "cpu": 1000 * used / max(1, turns)}


async def measure(setting: Setting) -> list[Figure]:
    """The bot, beside the durable queues that are installed, on each database."""
    figures: list[Figure] = []
    async with AsyncExitStack() as stack:
        talks = await _talks(stack, setting)
        samples = {latency: await _played(setting, latency, talks) for latency in LATENCIES}
    for latency in LATENCIES:
        figures += _beside_others(latency, samples[latency])
    at_once, later = (samples[latency] for latency in LATENCIES)
    for name in filter(_is_ours, talks):
        what, against = f"{name}, API in {_ms(LATENCIES[1])}", f"API in {_ms(LATENCIES[0])}"
        figures.append(figure("turns", what, "turns/s", later[name], against, at_once[name], "rate"))
    return figures


async def _talks(stack: AsyncExitStack, setting: Setting) -> dict[str, Talk]:
    talks: dict[str, Talk] = {}
    for database in setting.databases:
        stub = await stack.enter_async_context(platform())
        url = database.new("turns_bot")
        process = await stack.enter_async_context(bot("serve", setting.folder, url, stub.port, SETTINGS))
        talks[f"the bot, {database.name}"] = Talk(process, stub)
        for name in ("dbos", "procrastinate", "pgqueuer"):
            if setting.has(name) and (database.name == "PostgreSQL" or name == "dbos"):
                stub = await stack.enter_async_context(platform())
                address = f"http://127.0.0.1:{stub.port}"
                environment = {"DATABASE_URL": database.new(f"turns_{name}"), "SUNSHINE_BASE_URL": address}
                process = await stack.enter_async_context(served(f"{name}_app", setting.folder, environment))
                talks[f"{name}, {database.name}"] = Talk(process, stub)
    return talks


async def _played(setting: Setting, latency: float, talks: Mapping[str, Talk]) -> dict[str, list[Sample]]:
    seconds = setting.lasting(SECONDS)
    for talk in talks.values():
        await talk.round(seconds, latency)  # warm
    return await rounds(setting.rounds, {name: partial(talk.round, seconds, latency) for name, talk in talks.items()})


def _beside_others(latency: float, samples: Mapping[str, list[Sample]]) -> list[Figure]:
    figures: list[Figure] = []
    for name in filter(_is_ours, samples):
        for other in (other for other in samples if not _is_ours(other)):
            goal = GOALS.get(other.partition(",")[0])
            what = f"{name}, API in {_ms(latency)}"
            figures.append(figure("turns", what, "turns/s", samples[name], other, samples[other], "rate", goal))
    return figures


def _is_ours(name: str) -> bool:
    return name.startswith("the bot")


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:g} ms"
