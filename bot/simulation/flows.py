"""The flows of the simulation: one opening flow that behaves as the user's first word says, and a closing flow.

Everything that is said is unlike everything else that is said, so that a checker sees at once what was said twice.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

from bot.flows.authoring import NoAnswer, flow
from bot.flows.chat import Chat
from bot.sandbox.switchboard import ANSWERS

DEAF = "did you say something?"
"""Said by a flow that does not hear what opened it."""


OPENED_BY = "openedBy"
"""Metadata of what a flow says: the words that began it."""


PROMISES = "until later"
"""Said by a flow that has another one begin later."""


REMINDER = "reminder"
"""Name of that other flow."""


LATER = 40.0
"""Seconds until the flow that reminds comes back."""


SAYS_AND_ENDS = ("finish", "raise", "release", "handover")
"""Words to which a flow says one thing, and is over."""


QUICK = ("one", "three")
"""Words to which the echo asks again at once; with all others it takes its time first."""


class Speech:
    """Numbers what a flow says: the run, and the place within it; `about` says in metadata what began the run."""

    def __init__(self, chat: Chat, run: str) -> None:
        self._chat, self._run, self._said = chat, run, 0
        self.about = {OPENED_BY: chat.opening.text}

    def line(self, words: str) -> str:
        """The next thing to say."""
        self._said += 1
        return f"[{self._run}#{self._said}] {words}"

    async def say(self, words: str) -> None:
        """Say it."""
        await self._chat.say(self.line(words), metadata=self.about)


@flow("opening")
async def opening(chat: Chat) -> None:  # noqa: C901 - one case a word
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
    """Asks something though the user has not written."""
    speech = Speech(chat, f"open {chat.run_id}")
    try:
        await chat.ask(speech.line(f"by the way, {chat.opening.kind}"), timeout=timedelta(seconds=30))
    except NoAnswer:
        return
    await speech.say("good")


@flow("closing")
async def closing(chat: Chat) -> None:
    """A survey."""
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
    """A survey that never comes to its end."""
    await Speech(chat, f"close {chat.run_id}").say("how was it?")
    await chat.call(_hang)


async def _hang() -> None:
    await asyncio.Event().wait()


async def _slow() -> None:
    await asyncio.sleep(3)
