"""Assistant: a language model with tools and the conversation's history; agents back it."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal, Never, TypedDict

from bot import CallFailed, Chat, Choice, NoAnswer, flow, lifespan

ANSWERS_LIMIT = 20  # per conversation
TOOLS_LIMIT = 5  # rounds of tool calls per answer
HISTORY_LIMIT = 30  # earlier messages
ANSWER_TIMEOUT = timedelta(minutes=10)
DONE = Choice("That is all", "done")
PERSON = Choice("Talk to a person", "person")


class Line(TypedDict):
    """One line of the conversation, in the form most models take."""

    role: Literal["user", "assistant", "tool"]
    content: str


@dataclass(frozen=True)
class ToolCall:
    """A tool call requested by the model."""

    tool: str
    arguments: dict[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True)
class Reply:
    """The model's reply: tool calls, or else its answer."""

    text: str = ""
    calls: list[ToolCall] = field(default_factory=list[ToolCall])


Model = Callable[[Sequence[Line]], Awaitable[Reply]]


async def offline(talk: Sequence[Line]) -> Reply:
    """Stand in for your model: call it here, or replace this function."""
    asked = talk[-1]["content"].lower()
    if talk[-1]["role"] == "tool":
        return Reply(f"I have looked it up: {asked}.")
    if "order" in asked:
        return Reply(calls=[ToolCall("order_status", {"number": asked.split()[-1]})])
    if "broken" in asked:
        return Reply(calls=[ToolCall("get_a_person", {"urgent": "yes"})])
    return Reply("I know about orders. Try “Where is order 12345”.")


async def order_status(customer: str | None, number: str) -> str:
    """Look up an order. Your code must check that it belongs to this customer."""
    return f"order {number} is on its way"


async def opening_hours(customer: str | None) -> str:
    """Return the opening hours."""
    return "Monday to Friday, 9 to 17"


TOOLS: dict[str, Callable[..., Awaitable[str]]] = {
    "order_status": order_status,
    "opening_hours": opening_hours,
}
"""The model's tools. The flow passes the customer; the model never chooses it."""


@lifespan
async def resources() -> AsyncIterator[dict[str, object]]:
    """Provide the model to the flows."""
    yield {"model": offline}


class ModelFailed(Exception):
    """The model gave no answer. The log has the reason."""


@flow("assistant")
async def assistant(chat: Chat) -> None:
    """Let the model answer until the user is done or wants a person."""
    try:
        await served(chat)
    except NoAnswer:
        await chat.release()
    except ModelFailed:
        await chat.say("Sorry, I can't think straight right now. I am getting a person for you.")
        await chat.hand_over(
            tags=["assistant", "model_failed"],
            priority="high",
            requester=chat.user,
        )


async def served(chat: Chat) -> None:
    """Answer question by question, until the user chooses to stop or wants a person."""
    talk = await said_before(chat)
    said = chat.opening.text or (await chat.ask("Hello! What can I do for you?", timeout=ANSWER_TIMEOUT)).text
    for _ in range(ANSWERS_LIMIT):
        talk.append({"role": "user", "content": said})
        text = await answer_of_model(chat, talk)
        talk.append({"role": "assistant", "content": text})
        answer = await chat.ask(text, choices=[DONE, PERSON], timeout=ANSWER_TIMEOUT)
        if answer.choice == DONE:
            await chat.say("You are welcome. Goodbye!")
            await chat.release()
        if answer.choice == PERSON:
            break
        said = answer.text or "(not a text)"
    await to_a_person(chat)


async def to_a_person(chat: Chat, *, is_urgent: bool = False) -> Never:
    """Announce the hand-over, and hand over."""
    await chat.say("I am getting a person for you.")
    await chat.hand_over(
        tags=["assistant"],
        priority="urgent" if is_urgent else "normal",
        requester=chat.user,
    )


async def said_before(chat: Chat) -> list[Line]:
    """Return the messages of this conversation from before the flow began."""
    lines: list[Line] = []
    for message in await chat.history():
        if message["id"] == chat.opening.message.get("id"):
            break
        if text := message["content"].get("text"):
            lines.append(
                {
                    "role": "user" if message["author"]["type"] == "user" else "assistant",
                    "content": text,
                }
            )
    return lines[-HISTORY_LIMIT:]


async def answer_of_model(chat: Chat, talk: list[Line]) -> str:
    """Ask the model and run its tools until it answers. Raises `ModelFailed`."""
    model: Model = chat.resources.model
    ask_model = chat.call_with(attempts=2, timeout=timedelta(seconds=30), key="model")
    for _ in range(TOOLS_LIMIT):
        try:
            reply = await ask_model(model, list(talk))
        except CallFailed as error:
            await chat.log("model_failed", error=error.error_type)  # the message may quote the user
            raise ModelFailed from error
        if not reply.calls:
            return reply.text
        talk.extend(
            [{"role": "tool", "content": await result_of_tool(chat, call)} for call in reply.calls],
        )
    await chat.log("model_failed", error="it wants tools without end")
    raise ModelFailed


async def result_of_tool(chat: Chat, call: ToolCall) -> str:
    """Run a tool. An error is returned to the model, which may try another way."""
    if call.tool == "get_a_person":
        await to_a_person(chat, is_urgent=call.arguments.get("urgent") == "yes")
    if call.tool not in TOOLS:
        return f"there is no tool {call.tool}"
    use = chat.call_with(timeout=timedelta(seconds=10))
    try:
        return await use(TOOLS[call.tool], chat.user.external_id, **call.arguments)
    except CallFailed as error:
        return f"{call.tool} failed: {error.error_type}"
