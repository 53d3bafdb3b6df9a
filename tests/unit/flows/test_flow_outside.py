"""Flows that another system begins: `POST /api/v1/conversations/{id}/flows/{name}`, as the engine takes it up."""

from __future__ import annotations

from typing import Any

import pytest

from bot import Chat, flow
from bot.flows.identity import User
from bot.testing.talk import Mode
from bot.testing.talks import ChatWith

in_both_modes = pytest.mark.parametrize("mode", ["release", "pass"])
with_deaths = pytest.mark.parametrize("deaths", [None, "everywhere"])


@flow("greeting")
async def greeting(chat: Chat) -> None:
    """Serves the user in a word."""
    if chat.opening.text == "agent":
        await chat.hand_over()
    if chat.opening.text == "stay":
        await chat.ask("Yes?")
    await chat.say("Hello!")
    await chat.release()


@flow("parcel")
async def parcel(chat: Chat) -> None:
    """Tells what another system knows."""
    data = chat.opening.data or {"parcels": "?"}
    answer = await chat.ask(f"{chat.opening.kind}: {data['parcels']} parcels. All right?")
    await chat.say(f"{answer.text}, {chat.user.name}.")


@in_both_modes
@with_deaths
async def test_it_begins_where_nobody_is_active(chat_with: ChatWith, mode: Mode, deaths: Any) -> None:
    """With its data; nobody else is disturbed. What the user then says is an answer as any other."""
    talk = chat_with(greeting, flows=[parcel], mode=mode, deaths=deaths, user=User(name="Ada"))
    await talk.user("hi")
    talk.expects("Hello!")
    assert talk.released
    await talk.begins(parcel, {"parcels": 2})
    talk.expects("outside: 2 parcels. All right?")
    assert talk.holder == "switchboard-bot"
    await talk.user("Yes")
    talk.expects("Yes, None.")
    assert talk.holder == ("zd-agentWorkspace" if mode == "pass" else None)


@in_both_modes
async def test_who_does_not_answer_is_released(chat_with: ChatWith, mode: Mode) -> None:
    """The flow fails for want of an answer, and it is no ticket about nothing."""
    talk = chat_with(greeting, flows=[parcel], mode=mode, may_fail=True)
    await talk.user("hi")
    await talk.begins("parcel")
    await talk.wait(minutes=20)
    assert (talk.holder, talk.released, talk.ticket) == (None, True, None)


async def test_it_is_asked_for_once(chat_with: ChatWith) -> None:
    """By its idempotency key."""
    talk = chat_with(greeting, flows=[parcel])
    await talk.user("hi")
    for _ in range(2):
        await talk.begins("parcel", {"parcels": 1}, key="a")
        await talk.user("Yes")
    talk.expects("1 parcels", "Yes, None.", "Hello!")
    talk.expects_no_more()


@pytest.mark.parametrize(
    ("word", "said", "why"),
    [
        ("agent", [], "zd-agentWorkspace is active"),
        ("stay", ["Yes?"], "a flow is at work"),
    ],
)
async def test_it_is_told_where_it_can_not_begin(chat_with: ChatWith, word: str, said: list[str], why: str) -> None:
    """And nothing is taken from anybody."""
    talk = chat_with(greeting, flows=[parcel])
    await talk.user(word)
    holder = talk.holder
    await talk.begins("parcel")
    assert (talk.said, talk.holder) == (said, holder)
    assert talk.logged("flow_not_begun") == [{"detail": f"parcel: {why}"}]


async def test_not_after_the_end(chat_with: ChatWith) -> None:
    """Nobody could answer."""
    talk = chat_with(greeting, flows=[parcel])
    await talk.user("hi")
    await talk.end()
    await talk.begins("parcel")
    assert talk.said == ["Hello!"]
    assert talk.logged("flow_not_begun") == [{"detail": "parcel: the user has ended the conversation"}]


async def test_a_flow_that_is_not_there_any_more(chat_with: ChatWith) -> None:
    """It was known when it was asked for: control is released at once."""
    talk = chat_with(greeting, flows=[parcel], may_fail=True)
    await talk.user("hi")
    await talk.begins("gone")
    assert "there is no flow 'gone'" in talk.failures[0]
    assert talk.released
