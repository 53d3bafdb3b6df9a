"""A sample closing flow: one question at the end of a conversation."""

from __future__ import annotations

from datetime import timedelta

from bot.flows.authoring import NoAnswer, flow
from bot.flows.chat import Chat


@flow("survey")
async def survey(chat: Chat) -> None:
    """Ask for a rating, log it, and say thank you; does nothing after the user's end."""
    try:
        answer = await chat.ask(
            "How did we do?",
            choices=["Good", "Bad"],
            timeout=timedelta(minutes=5),
        )
    except NoAnswer:
        return
    await chat.log("survey_answered", score=answer.choice.text if answer.choice else "other")
    await chat.say("Thank you!")
