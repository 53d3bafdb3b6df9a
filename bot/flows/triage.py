"""A sample opening flow: greets, offers choices, and hands over to an agent.

It serves the demo, the sandbox and tests. It knows nothing about any business, and says so.
"""

from __future__ import annotations

from bot.flows.answer import Answer
from bot.flows.authoring import NoAnswer, flow
from bot.flows.chat import Chat
from bot.flows.content import Choice

CHOICES = (
    Choice("Opening hours", "hours"),
    Choice("Track my order", "order"),
    Choice("Talk to a person", "agent"),
)
_DONE = frozenset({"bye", "no", "no, thanks", "no thanks", "thanks", "thank you"})


@flow("triage")
async def triage(chat: Chat) -> None:
    """Offer choices, and hand over if the answer is not understood."""
    question = "Hello! I am the assistant. What can I do for you?"
    while True:
        try:
            answer = await chat.ask(question, choices=CHOICES)
            match _wanted(answer):
                case "hours":
                    await chat.say("I am a sample flow, so I don't know any opening hours.")
                case "order":
                    number = await chat.ask("What is your order number?")
                    if not any(character.isdigit() for character in number.text):
                        await _hand_over(chat)
                    await chat.say("Thank you. I am a sample flow, so I can't look it up.")
                case "bye":
                    await chat.say("You are welcome. Goodbye!")
                    return
                case _:
                    await _hand_over(chat)
        except NoAnswer:
            return
        question = "Is there anything else?"


def _wanted(answer: Answer) -> str:
    """Return the choice's payload, "bye", or an empty string if it is unknown."""
    if answer.choice:
        return answer.choice.payload
    return "bye" if answer.text.strip().rstrip(".!").lower() in _DONE else ""


async def _hand_over(chat: Chat) -> None:
    await chat.say("One moment, I am getting a person for you.")
    await chat.hand_over()
