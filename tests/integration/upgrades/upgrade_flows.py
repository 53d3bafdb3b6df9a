"""Flows of a bot that is upgraded: run by the version that made the databases here, and gone on with by this one."""

from __future__ import annotations

from datetime import timedelta

from bot import Began, Chat, NoAnswer, Purpose, flow, router

CLEANED_UP: list[str] = []
NUMBERS: list[int] = []
LINES = 3


def next_number() -> int:
    """The customer's number: drawn once for each run, whatever version goes on with it."""
    NUMBERS.append(7)
    return NUMBERS[-1]


def clean_up(basket: str) -> None:
    """What the shop has registered with `on_end`."""
    CLEANED_UP.append(basket)


@flow("shop")
async def shop(chat: Chat) -> None:
    """It waits for an answer."""
    await chat.on_end(clean_up, chat.conversation_id)
    number = await chat.call(next_number)
    answer = await chat.ask("What would you like?", choices=["Tea", "Cake"])
    await chat.say(f"{answer.text}: number {number}.")


@flow("nap")
async def nap(chat: Chat) -> None:
    """It sleeps."""
    await chat.say("One moment.")
    await chat.sleep(timedelta(seconds=90))
    await chat.say("Here I am.")


@flow("talker")
async def talker(chat: Chat) -> None:
    """It says more than one thing."""
    for number in range(1, LINES + 1):
        await chat.say(f"Line {number}")


@flow("quick")
async def quick(chat: Chat) -> None:
    """It hands over at once."""


@flow("bye")
async def bye(chat: Chat) -> None:
    """It asks when an agent has closed the ticket."""
    try:
        answer = await chat.ask("How was it?")
    except NoAnswer:  # the end came right after the control
        return
    await chat.say(f"You said: {answer.text}")


@router
def choose(began: Began, purpose: Purpose) -> str | None:
    """By the first word; nobody is asked after the end."""
    if purpose == "closing":
        return "bye" if began.kind == "handback" else None
    return began.text or "quick"
