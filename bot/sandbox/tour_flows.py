"""The flows of `switchboard-bot sandbox`: everything that a flow can show a user, and two ways to break it."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from bot.flows.authoring import NoAnswer, flow
from bot.flows.chat import Chat
from bot.flows.content import (
    Button,
    Card,
    Carousel,
    Choice,
    EmailField,
    Link,
    SelectField,
    TextField,
)

CHOICES = (
    Choice("Buy tea", "tea"),
    Choice("Book a tasting", "book"),
    Choice("Ask something hard", "hard"),
    Choice("Talk to a person", "agent"),
    Choice("Break the bot", "break"),
    Choice("That's all", "bye"),
)
TEAS = Carousel(
    [
        Card(
            name,
            [
                Button("Buy", f"buy {name}"),
                Link("Read more", f"https://example.com/{name.split()[0].lower()}"),
            ],
            description=description,
        )
        for name, description in (
            ("Green tea", "Fresh, from the first harvest."),
            ("Black tea", "Strong, for the morning."),
            ("Mint tea", "Without caffeine, for the evening."),
        )
    ]
)
TO_BE_SEEN = timedelta(seconds=2)
"""For so long an ended conversation stays open for the closing flow, so that one can see it on the pages."""


@flow("tour")
async def tour(chat: Chat) -> None:
    """A tea shop: quick replies, cards with buttons and links, a form, a slow answer, an agent."""
    question = "Hello! I am the bot of a tea shop. What can I do for you?"
    try:
        while True:
            answer = await chat.ask(question, choices=CHOICES)
            chosen = answer.payload or answer.text.strip().lower()
            if chosen == "tea":
                answer = await chat.ask(TEAS)
                chosen = answer.payload or answer.text.strip().lower()
            if chosen in ("bye", "no", "no, thanks"):
                await chat.say("You are welcome. Goodbye!")
                return
            await _serve(chat, chosen)
            question = "Is there anything else?"
    except NoAnswer:
        return


async def _serve(chat: Chat, chosen: str) -> None:
    match chosen.partition(" "):
        case "buy", _, tea:
            await chat.say(f"Thank you! Your {tea.lower()} is on its way.")
        case "book", _, _:
            await _book(chat)
        case "hard", _, _:
            await chat.call(_think)
            await chat.say("I have thought about it: boil the water first.")
        case "break", _, _:
            await _break(chat)
        case _:
            await chat.say("One moment, I am getting a person for you.")
            await chat.hand_over(metadata={"dataCapture.systemField.tags": "sandbox"})


async def _book(chat: Chat) -> None:
    booked = await chat.form(
        TextField("name", "Your name"),
        EmailField("mail", "Your e-mail"),
        SelectField("time", "When", ["In the morning", "In the afternoon"]),
        text="A tasting is free. Tell us when:",
    )
    when = str(booked.fields.get("time", "some time")).lower()
    await chat.say(f"See you {when}, {booked.fields.get('name', 'stranger')}!")


async def _break(chat: Chat) -> None:
    way = await chat.ask(
        "How? Whatever you choose, control is given up.",
        choices=["Raise an error", "Hang for ever"],
    )
    if way.payload == "Raise an error":
        raise RuntimeError("the tour was asked to break")
    await chat.say("I hang now. End the conversation, and see that it is closed all the same.")
    await chat.call(_hang)


@flow("farewell")
async def farewell(chat: Chat) -> None:
    """Closing: a question where the user can still answer, and a word where they have ended the conversation."""
    if chat.opening.kind == "ended":
        await chat.say("Goodbye! This conversation is over.")
        await chat.sleep(TO_BE_SEEN)
        return
    try:
        await chat.ask("How did we do?", choices=["Good", "Bad"], timeout=timedelta(minutes=1))
    except NoAnswer:
        return
    await chat.say("Thank you!")


async def _think() -> None:
    await asyncio.sleep(4)


async def _hang() -> None:
    await asyncio.Event().wait()
