"""An opening flow that puts a language model to work: it answers, and hands over to an agent where it can't.

The model is any callable: `assistant_with(model)` makes a flow of it. `assistant` is a sample with a stand-in for a
model: it knows two answers about itself and none about anybody's business, needs no network, and always says the same.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import TypedDict

from bot.flows.authoring import CallFailed, Flow, NoAnswer, flow
from bot.flows.chat import Chat
from bot.flows.content import Choice
from bot.signals import Level

TURNS_LIMIT = 20
"""Answers of the model in one conversation; who is not served by then is served by a person."""

PERSON = Choice("Talk to a person", "agent")
_ASKS_FOR_PERSON = re.compile(r"\b(agent|human|person|somebody|someone|staff|representative)\b", re.IGNORECASE)
_IS_DONE = re.compile(
    r"\s*(bye|goodbye|no|no,? thanks?( you)?|that'?s all|thanks?|thank you)\s*[.!]*\s*",
    re.IGNORECASE,
)


class Turn(TypedDict):
    """One thing that was said; `role` is "user" or "assistant"."""

    role: str
    content: str


Model = Callable[[Sequence[Turn]], "str | Awaitable[str | None] | None"]
"""Is given what was said so far, oldest first, and gives its answer; None or nothing where it has none.

A coroutine function, or a plain one, which runs in a thread. It is called by `chat.call`: its answer is kept, and what
it raises, or a minute without an answer, leads to an agent and to `model_failed` in the log.
"""

_KNOWN = (
    (
        re.compile(r"\b(what|how)\b.*\b(you|this)\b", re.IGNORECASE),
        "I am a sample without a language model. I can answer two questions, and get a person for you.",
    ),
    (
        re.compile(r"\b(hi|hello|hey)\b", re.IGNORECASE),
        "Hello! I am a sample assistant. Ask me what I can do.",
    ),
)


def offline(turns: Sequence[Turn]) -> str | None:
    """Answer like a model, by keyword: the stand-in of the sample."""
    asked = turns[-1]["content"]
    return next((answer for words, answer in _KNOWN if words.search(asked)), None)


def assistant_with(model: Model, name: str = "assistant", timeout: timedelta = timedelta(minutes=1)) -> Flow:
    """Make an opening flow of a language model.

    Args:
        model: the model.
        name: the flow's name, for OPENING_FLOW.
        timeout: for each of two attempts to get an answer.
    """

    @flow(name)
    async def talks(chat: Chat) -> None:
        """Let the model answer until the user is served, asks for a person, or the model fails."""
        try:
            served = await _serve(chat, model, timeout)
        except NoAnswer:
            return
        if served:
            await chat.say("You are welcome. Goodbye!")
        else:
            await chat.say("One moment, I am getting a person for you.")
            await chat.hand_over()

    return talks


async def _serve(chat: Chat, model: Model, timeout: timedelta) -> bool:
    """Answer until the user is content. False: a person is needed."""
    said, asks_for_person = (
        chat.opening.text or (await chat.ask("Hello! What can I do for you?")).text,
        False,
    )
    turns: list[Turn] = []
    while not _IS_DONE.fullmatch(said):
        if asks_for_person or _ASKS_FOR_PERSON.search(said) or len(turns) >= 2 * TURNS_LIMIT:
            return False
        turns.append({"role": "user", "content": said})
        try:
            answer = await chat.call(model, list(turns), attempts=2, timeout=timeout)
        except CallFailed as failed:
            error = failed.error.partition(":")[0]  # the rest may quote what the user said
            await chat.log("model_failed", Level.WARNING, detail=f"{failed.function}: {error}")
            return False
        if answer is not None and not isinstance(answer, str):
            detail = f"its answer is no text, but {type(answer).__name__}"
            await chat.log("model_failed", Level.WARNING, detail=detail)
            return False
        if not answer or not answer.strip():
            return False
        turns.append({"role": "assistant", "content": answer})
        reply = await chat.ask(answer, choices=[PERSON])
        said, asks_for_person = reply.text, reply.choice == PERSON
    return True


assistant = assistant_with(offline)
