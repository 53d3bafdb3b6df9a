"""Valid webhooks, every tenth of a second, from a process of their own: what an attack sends must not delay them."""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from multiprocessing.connection import Connection

from .target import KEY, PATH, Target, delivery, request

EVERY = 0.1  # seconds
WITHIN = 20.0  # seconds; later, the platform no longer listens


@asynccontextmanager
async def webhooks_beside(target: Target) -> AsyncIterator[None]:
    """Deliver webhooks meanwhile; how long each waited goes to the target's figures."""
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_main, args=(target.port, theirs), daemon=True)
    process.start()
    await asyncio.to_thread(ours.recv)  # it has begun
    try:
        yield
    finally:
        ours.send("stop")
        if await asyncio.to_thread(ours.poll, WITHIN + 10):
            target.figures.waits, target.figures.failed = ours.recv()
        process.kill()


def _main(port: int, parent: Connection) -> None:
    parent.send("begun")
    parent.send(asyncio.run(_deliver(Target(port, 0), parent)))


async def _deliver(target: Target, parent: Connection) -> tuple[list[float], int]:
    async with asyncio.TaskGroup() as group:
        for number in count():
            if parent.poll():
                break
            group.create_task(_webhook(target, number))
            await asyncio.sleep(EVERY)
    return target.figures.waits, target.figures.failed


async def _webhook(target: Target, number: int) -> None:
    body = delivery({"id": f"valid-{number}", "type": "x:y", "payload": {}})
    began = time.perf_counter()
    answer = await target.sends(request("POST", PATH, body, KEY), within=WITHIN)
    target.figures.waits.append(time.perf_counter() - began)
    target.figures.failed += not answer.startswith(b"HTTP/1.1 200")
