"""The simulation's flows: an opening flow controlled by the user's words, and others.

Every message of a flow is unique, so that the checks can recognize a duplicate.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

from bot.flows.authoring import NoAnswer, flow
from bot.flows.chat import Chat
from bot.sandbox.switchboard import ANSWERS

DEAF = "did you say something?"
"""Said by a flow that began with a message but did not get its text."""


OPENED_BY = "openedBy"
"""Metadata key of a flow's messages: the words that began the flow."""


PROMISES = "until later"
"""Said by a flow before it registers a reminder."""


REMINDER = "reminder"
"""Name of the flow begun by the reminder."""


LATER = 40.0
"""Seconds until the reminder."""


SAYS_AND_ENDS = ("finish", "raise", "release", "handover")
"""Words after which the opening flow says one thing and ends."""


QUICK = ("one", "three")
"""Words that the echo answers at once; all others take it some time."""


class Speech:
    """Numbers a flow's messages by run and position; `about` records what began the run."""

    def __init__(self, chat: Chat, run: str) -> None:
        self._chat, self._run, self._said = chat, run, 0
        self.about = {OPENED_BY: chat.opening.text}

    def line(self, words: str) -> str:
        """Return the next message's text."""
        self._said += 1
        return f"[{self._run}#{self._said}] {words}"

    async def say(self, words: str) -> None:
        """Say the next message."""
        await self._chat.say(self.line(words), metadata=self.about)


@flow("opening")
async def opening(chat: Chat) -> None:  # noqa: C901 - one case per word
    """Behave as the first word of the conversation demands."""
    """Do what the first word of the conversation says."""
    speech = Speech(chat, f"open {chat.run_id}")
    if chat.opening.kind == "message" and not chat.opening.text:
        await speech.say(DEAF)
    if chat.opening.kind == "handback":
        await speech.say("you again?")
        await chat.hand_over(ANSWERS)
    match chat.opening.text:
        case "finish":
            await speech.say("here you are")
        case "raise":
            await speech.say("oh")
            raise RuntimeError("as asked")
        case "hang":
            await speech.say("wait")
            await chat.call(_hang)
        case "mute":
            await chat.ask(speech.line("well?"), metadata=speech.about)
        case "handover":
            await speech.say("I get somebody")
            await chat.hand_over()
        case "around":
            await speech.say("somebody else knows that")
            await chat.hand_over(ANSWERS)
        case "nowhere":
            await speech.say("somebody knows that")
            await chat.hand_over("no-such-integration")
        case "release":
            await speech.say("that is it")
            await chat.release()
        case "slow":
            await chat.call(_slow)
            await speech.say("done")
        case "nap":
            await speech.say("later")
            await chat.sleep(timedelta(seconds=30))
            await speech.say("now")
        case "remind":
            await speech.say(PROMISES)
            await chat.remind(timedelta(seconds=LATER), reminder, {"words": chat.opening.text})
        case "chatty":
            for number in range(8):
                await speech.say(f"line {number}")
        case _:
            await _echo(chat, speech)


async def _echo(chat: Chat, speech: Speech) -> None:
    try:
        for _ in range(3):
            question = speech.line("say something")
            answer = await chat.ask(question, timeout=timedelta(minutes=2), metadata=speech.about)
            await speech.say(f"echo {answer.text}")
            if answer.text not in QUICK:
                await chat.call(_slow)
    except NoAnswer:
        await speech.say("nobody there")


@flow(REMINDER)
async def reminder(chat: Chat) -> None:
    """Ask something although the user has not written."""
    speech = Speech(chat, f"open {chat.run_id}")
    try:
        await chat.ask(
            speech.line(f"by the way, {chat.opening.kind}"),
            timeout=timedelta(seconds=30),
        )
    except NoAnswer:
        return
    await speech.say("good")


@flow("closing")
async def closing(chat: Chat) -> None:
    """Ask one survey question."""
    speech = Speech(chat, f"close {chat.run_id}")
    try:
        await chat.ask(
            speech.line("how was it?"),
            choices=["Good", "Bad"],
            timeout=timedelta(seconds=40),
        )
    except NoAnswer:
        return
    await speech.say("thanks")


@flow("endless")
async def endless(chat: Chat) -> None:
    """Say one thing, then hang."""
    await Speech(chat, f"close {chat.run_id}").say("how was it?")
    await chat.call(_hang)


async def _hang() -> None:
    await asyncio.Event().wait()


async def _slow() -> None:
    await asyncio.sleep(3)
