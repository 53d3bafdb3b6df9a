"""DBOS: a workflow of one step for each event, started in the process that takes the webhooks."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from dbos import DBOS, SetWorkflowID

from . import step


async def main() -> None:
    """Take webhooks and work."""
    DBOS(config={"name": "bench", "system_database_url": os.environ["DATABASE_URL"], "log_level": "ERROR"})
    sunshine = step.client()

    @DBOS.step()
    async def answer(event: dict[str, Any]) -> None:
        await step.take(sunshine, event)

    @DBOS.workflow()
    async def turn(event: dict[str, Any]) -> None:
        await answer(event)

    async def enqueue(event: dict[str, Any]) -> None:
        with SetWorkflowID(event["id"]):  # the same event twice is one workflow
            await DBOS.start_workflow_async(turn, event)

    DBOS.launch()
    await step.listen(step.application(enqueue))
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
