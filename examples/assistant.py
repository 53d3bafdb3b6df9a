"""Assistant: a language model with tools, which knows what was said before, and a person behind it."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal, Never, TypedDict

from bot import CallFailed, Chat, Choice, NoAnswer, flow, lifespan

ANSWERS_LIMIT = 20  # in one conversation
TOOLS_LIMIT = 5  # rounds of tools for one answer
MEMORY = 30  # messages from before
PATIENCE = timedelta(minutes=10)
DONE = Choice("That is all", "done")
PERSON = Choice("Talk to a person", "person")


class Line(TypedDict):
    """One line of the talk, as most models want it."""

    role: Literal["user", "assistant", "tool"]
    content: str


@dataclass(frozen=True)
class ToolCall:
    """A tool that the model wants, with its arguments."""

    tool: str
    arguments: dict[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True)
class Reply:
    """What the model gives: tools to be called, or else its answer."""

    text: str = ""
    calls: list[ToolCall] = field(default_factory=list[ToolCall])


Model = Callable[[Sequence[Line]], Awaitable[Reply]]


async def offline(talk: Sequence[Line]) -> Reply:
    """Stand for your model: put the request to it here, or into a function of your own."""
    asked = talk[-1]["content"].lower()
    if talk[-1]["role"] == "tool":
        return Reply(f"I have looked it up: {asked}.")
    if "order" in asked:
        return Reply(calls=[ToolCall("order_status", {"number": asked.split()[-1]})])
    if "broken" in asked:
        return Reply(calls=[ToolCall("get_a_person", {"urgent": "yes"})])
    return Reply("I know about orders. Try “Where is order 12345”.")


async def order_status(customer: str | None, number: str) -> str:
    """Look an order up. Your code here must make sure that it is this customer's."""
    return f"order {number} is on its way"


async def opening_hours(customer: str | None) -> str:
    """Tell when the shop is open."""
    return "Monday to Friday, 9 to 17"


TOOLS: dict[str, Callable[..., Awaitable[str]]] = {
    "order_status": order_status,
    "opening_hours": opening_hours,
}
"""What the model may use. Who the customer is, the flow says, and never the model."""


@lifespan
async def resources() -> AsyncIterator[dict[str, object]]:
    """Give the flows their model."""
    yield {"model": offline}


class ModelFailed(Exception):
    """The model gave no answer. The log says why."""


@flow("assistant")
async def assistant(chat: Chat) -> None:
    """Let the model answer until the user is served or wants a person."""
    try:
        await served(chat)
    except NoAnswer:
        await chat.release()
    except ModelFailed:
        await chat.say("Sorry, I can't think straight right now. I am getting a person for you.")
        await chat.hand_over(tags=["assistant", "model_failed"], priority="high", requester=chat.user)


async def served(chat: Chat) -> None:
    """Answer, question by question. What the user wants next is told by two choices or by their words."""
    talk = await said_before(chat)
    said = chat.opening.text or (await chat.ask("Hello! What can I do for you?", timeout=PATIENCE)).text
    for _ in range(ANSWERS_LIMIT):
        talk.append({"role": "user", "content": said})
        text = await answer_of_model(chat, talk)
        talk.append({"role": "assistant", "content": text})
        answer = await chat.ask(text, choices=[DONE, PERSON], timeout=PATIENCE)
        if answer.choice == DONE:
            await chat.say("You are welcome. Goodbye!")
            await chat.release()
        if answer.choice == PERSON:
            break
        said = answer.text or "(not a text)"
    await to_a_person(chat)


async def to_a_person(chat: Chat, *, is_urgent: bool = False) -> Never:
    """Say so, and hand over."""
    await chat.say("I am getting a person for you.")
    await chat.hand_over(
        tags=["assistant"],
        priority="urgent" if is_urgent else "normal",
        requester=chat.user,
    )


async def said_before(chat: Chat) -> list[Line]:
    """Return what was said in this conversation before the flow began."""
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
    return lines[-MEMORY:]


async def answer_of_model(chat: Chat, talk: list[Line]) -> str:
    """Ask the model, and call the tools that it wants, until it answers. Raises `ModelFailed`."""
    model: Model = chat.resources.model
    ask_model = chat.call_with(attempts=2, timeout=timedelta(seconds=30), key="model")
    for _ in range(TOOLS_LIMIT):
        try:
            reply = await ask_model(model, list(talk))
        except CallFailed as error:
            await chat.log("model_failed", error=error.error_type)  # its message may quote what the user said
            raise ModelFailed from error
        if not reply.calls:
            return reply.text
        talk.extend([{"role": "tool", "content": await result_of_tool(chat, call)} for call in reply.calls])
    await chat.log("model_failed", error="it wants tools without end")
    raise ModelFailed


async def result_of_tool(chat: Chat, call: ToolCall) -> str:
    """Call a tool. What goes wrong is told to the model, which may find another way."""
    if call.tool == "get_a_person":
        await to_a_person(chat, is_urgent=call.arguments.get("urgent") == "yes")
    if call.tool not in TOOLS:
        return f"there is no tool {call.tool}"
    use = chat.call_with(timeout=timedelta(seconds=10))
    try:
        return await use(TOOLS[call.tool], chat.user.external_id, **call.arguments)
    except CallFailed as error:
        return f"{call.tool} failed: {error.error_type}"
