"""End to release: from the POST that tells of the user's end to the release request at the platform.

One end at a time, in pass mode with the bot active, so that the release is the bot's to give. The platform proves each
release by a webhook, and the next end comes when that was answered and all is at rest. The naive handler calls the API
inline and stores nothing.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from functools import partial
from itertools import count

from .deliveries import control_released, user_ends
from .figures import Figure, Sample, at_most, figure, quantile, rounds
from .load import BenchError, Sender
from .processes import bot, served
from .setting import Setting
from .stub import RELEASE, Stub, now, platform

ENDS = 300  # a round
PATIENCE = 10.0  # seconds for one
REST = 0.01  # seconds after the answer to the proof
GOAL = at_most(2)

_numbers = count(1)


async def measure(setting: Setting) -> list[Figure]:
    """The bot on each database, beside the naive handler."""
    async with AsyncExitStack() as stack:
        taking: dict[str, tuple[int, Stub]] = {}
        stub = await stack.enter_async_context(platform())
        address = {"SUNSHINE_BASE_URL": f"http://127.0.0.1:{stub.port}"}
        naive = await stack.enter_async_context(served("naive", setting.folder, address))
        taking["naive"] = (naive.port, stub)
        for database in setting.databases:
            stub = await stack.enter_async_context(platform())
            url = database.new("end_to_release")
            process = await stack.enter_async_context(bot("serve", setting.folder, url, stub.port))
            taking[f"the bot, {database.name}"] = (process.port, stub)
        ends = setting.sized(ENDS)
        plays = {name: partial(_ends, port, stub, ends) for name, (port, stub) in taking.items()}
        for play in plays.values():
            await play()  # warm
        samples = await rounds(setting.rounds, plays)
    figures = []
    for name in [name for name in taking if name != "naive"]:
        for quantity, goal in (("p50", GOAL), ("p99", None)):
            what = f"{name}: end to release, {quantity}"
            theirs = samples["naive"]
            figures.append(figure("end to release", what, "ms", samples[name], "inline", theirs, quantity, goal))
    return figures


async def _ends(port: int, stub: Stub, number: int) -> Sample:
    answered = asyncio.Semaphore(0)
    sender = Sender(port, answered.release)
    ordered = sorted([await _seconds_of_one(sender, answered, stub) for _ in range(number)])
    sender.close()
    return {"p50": 1000 * quantile(ordered, 0.5), "p99": 1000 * quantile(ordered, 0.99)}


async def _seconds_of_one(sender: Sender, answered: asyncio.Semaphore, stub: Stub) -> float:
    conversation_id = f"ended-{next(_numbers)}"
    loop = asyncio.get_running_loop()
    came: asyncio.Future[float] = loop.create_future()

    def called(id_: str, action: str) -> None:
        if (id_, action) == (conversation_id, RELEASE) and not came.done():
            came.set_result(now())

    stub.on_call = called
    request = user_ends(conversation_id)
    began = now()
    sender.send(request)
    try:
        async with asyncio.timeout(PATIENCE):
            seconds = await came - began
            await answered.acquire()
            sender.send(control_released(conversation_id))
            await answered.acquire()
    except TimeoutError:
        raise BenchError(f"the end was not answered, or not released, within {PATIENCE:g} s") from None
    await asyncio.sleep(REST)
    return seconds
