"""Intake: durable, deduplicated acknowledgements a second, against a handler that reads the body and answers 200."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial

from .deliveries import SECRET, endless_messages, slack_message, telegram_message
from .figures import Figure, at_least, at_most, figure, rounds
from .load import flood
from .processes import bot, served
from .setting import Setting

CONNECTIONS = (32, 128)
RATE_GOALS = {"SQLite": at_least(0.5), "PostgreSQL": at_least(0.6)}
P99_GOAL = at_most(4)
SECONDS = 3.0  # a round
NOBODY = 1  # the port of a platform that is never called: the web part makes no calls


@dataclass(frozen=True, slots=True)
class _Intake:
    port: int
    next_request: Callable[[], bytes]


async def measure(setting: Setting) -> list[Figure]:
    """The web part of the bot on each database, and the webhook handlers of two frameworks, which store nothing."""
    async with AsyncExitStack() as stack:
        bare = await stack.enter_async_context(served("bare", setting.folder))
        taking = {"bare": _Intake(bare.port, endless_messages())}
        for database in setting.databases:
            url = database.new("intake")
            web = await stack.enter_async_context(bot("web", setting.folder, url, NOBODY))
            taking[f"the bot, {database.name}"] = _Intake(web.port, endless_messages())
        for name, python, request in _frameworks(setting):
            app = await stack.enter_async_context(served(f"{name}_app", setting.folder, {"SECRET": SECRET}, python))
            taking[name] = _Intake(app.port, partial(_same, request))
        figures: list[Figure] = []
        for connections in CONNECTIONS:
            figures += await _compared(setting, connections, taking)
        return figures


async def _compared(setting: Setting, connections: int, taking: dict[str, _Intake]) -> list[Figure]:
    seconds = setting.lasting(SECONDS)
    plays = {
        name: partial(flood, intake.port, intake.next_request, connections=connections, seconds=seconds)
        for name, intake in taking.items()
    }
    for play in plays.values():
        await play()  # warm
    samples = await rounds(setting.rounds, plays)
    bare, against = samples["bare"], "bare aiohttp handler"
    figures = []
    for name in [name for name in taking if name != "bare"]:
        what = f"{name}, {connections} connections"
        goal = RATE_GOALS.get(name.removeprefix("the bot, "))
        figures.append(figure("intake", f"{what}: rate", "acks/s", samples[name], against, bare, "rate", goal))
        figures.append(figure("intake", f"{what}: p50", "ms", samples[name], against, bare, "p50"))
        p99_goal = P99_GOAL if goal else None
        figures.append(figure("intake", f"{what}: p99", "ms", samples[name], against, bare, "p99", p99_goal))
    ceiling = f"load generator against the bare handler, {connections} connections"
    whole = [{"busy": 1.0}] * len(bare)
    figures.append(figure("intake", ceiling, "of a core", bare, "a whole core", whole, "busy"))
    return figures


def _frameworks(setting: Setting) -> Iterator[tuple[str, str, bytes]]:
    """Name, interpreter and request of those that are installed."""
    if setting.has("slack_bolt"):
        yield "slack_bolt", sys.executable, slack_message(SECRET)
    if setting.aiogram_python:
        yield "aiogram", setting.aiogram_python, telegram_message(SECRET)


def _same(request: bytes) -> bytes:
    return request
