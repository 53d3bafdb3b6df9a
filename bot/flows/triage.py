"""The opening flow that comes with the bot: it greets, offers choices, answers, or hands over to an agent."""

from __future__ import annotations

from bot.flows.authoring import NoAnswer, flow
from bot.flows.chat import Chat
from bot.flows.content import Choice

CHOICES = (
    Choice("Opening hours", "hours"),
    Choice("Track my order", "order"),
    Choice("Talk to a person", "agent"),
)


@flow("triage")
async def triage(chat: Chat) -> None:
    """Answer what is simple, and hand over the rest."""
    question = "Hello! I am the assistant. What can I do for you?"
    while True:
        try:
            answer = await chat.ask(question, choices=CHOICES)
        except NoAnswer:
            return
        match answer.payload or answer.text.strip().lower():
            case "hours":
                await chat.say("We are open Monday to Friday, from 9 to 17 o'clock.")
            case "order":
                number = await chat.ask("What is your order number?")
                await chat.say(f"Thank you. Order {number.text} is on its way.")
            case "bye" | "no" | "no, thanks":
                await chat.say("You are welcome. Goodbye!")
                return
            case _:
                await chat.say("One moment, I am getting a person for you.")
                await chat.hand_over()
        question = "Is there anything else?"
