"""The assistant, with plain functions as models."""

from collections.abc import Sequence

from assistant import Line, Reply, ToolCall, assistant, offline

from bot import User
from bot.testing import ChatWith


async def test_it_looks_an_order_up(chat_with: ChatWith) -> None:
    talk = chat_with(assistant, resources={"model": offline}, mode="pass", deaths="everywhere")
    await talk.user("Hello")
    await talk.user("Where is order 12345")
    await talk.taps("That is all")
    talk.expects(
        "I know about orders.",
        "I have looked it up: order 12345 is on its way.",
        "Goodbye!",
    )
    assert talk.released
    assert talk.ticket is None


async def test_the_model_knows_what_was_said_before(chat_with: ChatWith) -> None:
    seen: list[list[str]] = []

    async def model(talk: Sequence[Line]) -> Reply:
        seen.append([f"{line['role']}: {line['content']}" for line in talk])
        return Reply(f"Answer {len(seen)}")

    talk = chat_with(assistant, resources={"model": model}, mode="pass")
    await talk.user("One")
    await talk.taps("That is all")
    await talk.user("Two")
    assert seen[-1] == [
        "user: One",
        "assistant: Answer 1",
        "user: That is all",
        "assistant: You are welcome. Goodbye!",
        "user: Two",
    ]


async def test_a_tool_that_fails_is_told_to_the_model(chat_with: ChatWith) -> None:
    async def model(talk: Sequence[Line]) -> Reply:
        if talk[-1]["role"] == "tool":
            return Reply(" / ".join(line["content"] for line in talk if line["role"] == "tool"))
        return Reply(
            calls=[
                ToolCall("magic"),
                ToolCall("opening_hours", {"day": "Monday"}),
                ToolCall("opening_hours"),
            ]
        )

    talk = chat_with(assistant, resources={"model": model}, mode="pass", deaths="everywhere")
    await talk.user("When are you open?")
    talk.expects(
        "there is no tool magic / opening_hours failed: TypeError / Monday to Friday, 9 to 17",
    )


async def test_a_person_comes_when_the_user_wants_one(chat_with: ChatWith) -> None:
    talk = chat_with(
        assistant,
        resources={"model": offline},
        user=User(name="Ada"),
        mode="pass",
        deaths="everywhere",
    )
    await talk.user("Hello")
    await talk.user("talk to a person")
    talk.expects("I know about orders.", "I am getting a person for you.")
    assert talk.ticket
    assert talk.ticket.tags == ("assistant",)
    assert talk.ticket.requester == {"name": "Ada"}


async def test_a_person_comes_when_the_model_wants_one(chat_with: ChatWith) -> None:
    talk = chat_with(assistant, resources={"model": offline}, mode="pass", deaths="everywhere")
    await talk.user("My new lamp is broken and smells of smoke")
    talk.expects("I am getting a person for you.")
    assert talk.ticket
    assert talk.ticket.priority == "urgent"


async def test_a_model_that_fails_is_told_to_the_user(chat_with: ChatWith) -> None:
    async def broken(talk: Sequence[Line]) -> Reply:
        raise ConnectionError("no route to the model")

    talk = chat_with(
        assistant,
        resources={"model": broken},
        mode="pass",
        deaths="everywhere",
        may_fail=True,
    )
    await talk.user("Hello")
    talk.expects("Sorry, I can't think straight right now.")
    assert talk.logged("model_failed")
    assert talk.ticket
    assert talk.ticket.priority == "high"
    assert talk.ticket.tags == ("assistant", "model_failed")


async def test_a_model_that_wants_tools_for_ever_is_stopped(chat_with: ChatWith) -> None:
    async def busy(talk: Sequence[Line]) -> Reply:
        return Reply(calls=[ToolCall("opening_hours")])

    talk = chat_with(
        assistant,
        resources={"model": busy},
        mode="pass",
        deaths="everywhere",
        may_fail=True,
    )
    await talk.user("Hello")
    talk.expects("Sorry, I can't think straight right now.")


async def test_a_user_who_goes_away_is_not_waited_for(chat_with: ChatWith) -> None:
    talk = chat_with(assistant, resources={"model": offline}, mode="pass", deaths="everywhere")
    await talk.user("Hello")
    await talk.wait(minutes=11)
    assert talk.released
    assert talk.ticket is None
