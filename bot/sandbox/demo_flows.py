"""The opening flow of the demo: `triage`, with two words that make it misbehave."""

from __future__ import annotations

import asyncio

from bot.flows.authoring import flow
from bot.flows.chat import Chat
from bot.flows.triage import triage


@flow("demo")
async def demo(chat: Chat) -> None:
    """Raise on "crash", hang on "hang", and otherwise run `triage`."""
    match chat.opening.text:
        case "crash":
            raise RuntimeError("the demo flow was asked to crash")
        case "hang":
            await chat.call(_hang)
        case _:
            await triage(chat)


async def _hang() -> None:
    await asyncio.Event().wait()
