"""procrastinate: a job for each event, locked by its conversation, in the process that takes the webhooks."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import procrastinate

from . import step

CONCURRENCY = 256


async def main() -> None:
    """Take webhooks and work."""
    connector = procrastinate.PsycopgConnector(conninfo=os.environ["DATABASE_URL"], max_size=20)
    app = procrastinate.App(connector=connector)
    sunshine = step.client()

    @app.task(name="turn")
    async def turn(event: dict[str, Any]) -> None:
        await step.take(sunshine, event)

    async def enqueue(event: dict[str, Any]) -> None:
        await turn.configure(lock=step.conversation_id_of(event)).defer_async(event=event)

    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        await step.listen(step.application(enqueue))
        await app.run_worker_async(concurrency=CONCURRENCY)


if __name__ == "__main__":
    asyncio.run(main())
