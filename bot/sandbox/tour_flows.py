"""The flows of `switchboard-bot sandbox`: all content types, and two ways to break it."""

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
GOODBYE_SHOWN = timedelta(seconds=2)
"""How long an ended conversation stays open for the closing flow, so the pages show it."""


@flow("tour")
async def tour(chat: Chat) -> None:
    """Play a tea shop: quick replies, cards, a form, a slow answer, an agent."""
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
        "How? Either way, the bot gives up control.",
        choices=["Raise an error", "Hang forever"],
    )
    if way.payload == "Raise an error":
        raise RuntimeError("the tour was asked to break")
    await chat.say("I am hanging now. End the conversation: it is closed all the same.")
    await chat.call(_hang)


@flow("farewell")
async def farewell(chat: Chat) -> None:
    """Ask for a rating if the user can still answer; otherwise say goodbye."""
    if chat.opening.kind == "ended":
        await chat.say("Goodbye! This conversation is over.")
        await chat.sleep(GOODBYE_SHOWN)
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
