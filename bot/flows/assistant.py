"""An opening flow run by a language model; hands over to an agent if it can't help.

The model is any callable: `assistant_with(model)` turns it into a flow. `assistant`
is a sample with a stand-in for the model. The stand-in needs no network, is
deterministic, and knows two answers about itself and none about any business.
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
"""Maximum number of the model's answers per conversation, before an agent takes over."""

PERSON = Choice("Talk to a person", "agent")
_ASKS_FOR_PERSON = re.compile(
    r"\b(agent|human|person|somebody|someone|staff|representative)\b",
    re.IGNORECASE,
)
_IS_DONE = re.compile(
    r"\s*(bye|goodbye|no|no,? thanks?( you)?|that'?s all|thanks?|thank you)\s*[.!]*\s*",
    re.IGNORECASE,
)


class Turn(TypedDict):
    """One message so far; `role` is "user" or "assistant"."""

    role: str
    content: str


Model = Callable[[Sequence[Turn]], "str | Awaitable[str | None] | None"]
"""Takes the messages so far, oldest first, and returns an answer (None or "": no answer).

Either a coroutine function or a plain function, which runs in a thread. It is called
through `chat.call`, so its answer is kept. If it raises, or takes longer than a minute,
the flow hands over to an agent and logs `model_failed`.
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
    """Answer by keyword, in place of a language model."""
    asked = turns[-1]["content"]
    return next((answer for words, answer in _KNOWN if words.search(asked)), None)


def assistant_with(
    model: Model,
    name: str = "assistant",
    timeout: timedelta = timedelta(minutes=1),
) -> Flow:
    """Turn a language model into an opening flow.

    Args:
        model: the model.
        name: the flow's name, for OPENING_FLOW.
        timeout: per attempt; two attempts are made to get an answer.
    """

    @flow(name)
    async def talks(chat: Chat) -> None:
        """Let the model answer until the user is done, wants a person, or it fails."""
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
    """Answer until the user is satisfied; return False if a person is needed."""
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
