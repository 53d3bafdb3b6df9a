"""The opening flow of the demo: `triage`, with two words that make it misbehave as a team's own code may."""

from __future__ import annotations

import asyncio

from bot.flows.authoring import flow
from bot.flows.chat import Chat
from bot.flows.triage import triage


@flow("demo")
async def demo(chat: Chat) -> None:
    """Raise at "crash", hang at "hang", and be of use otherwise."""
    match chat.opening.text:
        case "crash":
            raise RuntimeError("the demo flow was asked to crash")
        case "hang":
            await chat.call(_hang)
        case _:
            await triage(chat)


async def _hang() -> None:
    await asyncio.Event().wait()
