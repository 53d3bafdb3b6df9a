"""pgqueuer: a job for each event, in no order, in the process that takes the webhooks."""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any

import asyncpg
from pgqueuer import PgQueuer
from pgqueuer.models import Job
from pgqueuer.queries import Queries

from . import step

BATCH = 64
CONCURRENCY = 256


async def main() -> None:
    """Take webhooks and work."""
    async with asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=4, max_size=20) as pool:
        queue = PgQueuer.from_asyncpg_pool(pool)
        queries = Queries.from_asyncpg_pool(pool)
        await queries.install()
        sunshine = step.client()

        @queue.entrypoint("turn")
        async def turn(job: Job) -> None:
            await step.take(sunshine, json.loads(job.payload or b"{}"))

        async def enqueue(event: dict[str, Any]) -> None:
            await queries.enqueue("turn", json.dumps(event).encode(), dedupe_key=event["id"])

        await step.listen(step.application(enqueue))
        await queue.run(batch_size=BATCH, max_concurrent_tasks=CONCURRENCY)


if __name__ == "__main__":
    asyncio.run(main())
