"""A sample of a closing flow: one question when a conversation is over."""

from __future__ import annotations

from datetime import timedelta

from bot.flows.authoring import NoAnswer, flow
from bot.flows.chat import Chat


@flow("survey")
async def survey(chat: Chat) -> None:
    """Ask how it went, tell the operators, and say thank you. After the user's end nobody is asked."""
    try:
        answer = await chat.ask("How did we do?", choices=["Good", "Bad"], timeout=timedelta(minutes=5))
    except NoAnswer:
        return
    await chat.log("survey_answered", score=answer.choice.text if answer.choice else "other")
    await chat.say("Thank you!")
