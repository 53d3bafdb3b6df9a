"""The closing flow that comes with the bot: one question when a conversation is over."""

from __future__ import annotations

from datetime import timedelta

from bot.flows.authoring import NoAnswer, flow
from bot.flows.chat import Chat


@flow("survey")
async def survey(chat: Chat) -> None:
    """Ask how it went, and thank for the answer."""
    try:
        await chat.ask("How did we do?", choices=["Good", "Bad"], timeout=timedelta(minutes=5))
    except NoAnswer:
        return
    await chat.say("Thank you!")
