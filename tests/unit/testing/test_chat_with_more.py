"""What else a test can ask for: the agent's ticket, the time open after the end, log lines, and deaths everywhere."""

from __future__ import annotations

import asyncio
import random
import threading
from datetime import timedelta
from typing import Any

import httpx2
import pytest

from bot import CallFailed, Chat, NoAnswer, User, flow
from bot.testing.talk import Mode
from bot.testing.talks import ChatWith

ADA = User(
    name="Ada",
    email="ada@example.com",
    external_id="c-7",
    locale="de",
    authenticated=True,
    profile={"surname": "Lovelace"},
    metadata={"plan": "gold"},
)


@flow("complaint")
async def complaint(chat: Chat) -> None:
    """Hands over with all that a ticket can have."""
    try:
        answer = await chat.ask("What happened?", timeout=timedelta(minutes=2))
    except NoAnswer:
        return
    await chat.log("complaint_taken", words=len(answer.text.split()))
    await chat.hand_over(
        ticket_fields={"360": answer.text, "361": True},
        tags=["vip", "angry customer", "vip"],
        priority="high",
        requester=chat.user,
    )


async def test_the_ticket_is_what_the_agent_gets(chat_with: ChatWith) -> None:
    """Its fields, tags, priority, requester, and what was said."""
    talk = chat_with(complaint, mode="pass", user=ADA)
    await talk.user("hi")
    assert not talk.ticket
    await talk.user("It is broken")
    assert talk.ticket
    assert talk.ticket.fields == {"360": "It is broken", "361": True}
    assert talk.ticket.tags == ("vip", "angry_customer")
    assert talk.ticket.priority == "high"
    assert talk.ticket.requester == {"name": "Ada", "email": "ada@example.com"}
    assert talk.ticket.messages == ("user: hi", "bot: What happened?", "user: It is broken")
    assert (talk.ticket.status, talk.ticket.is_needless) == ("open", False)
    assert talk.logged("complaint_taken") == [{"words": 3}]
    assert talk.logged("something_else") == []
    await talk.agent_closes()
    assert talk.ticket.status == "closed"


@pytest.mark.parametrize(("mode", "seconds"), [("release", 0), ("pass", 15)])
async def test_the_time_open_after_the_end_is_told(chat_with: ChatWith, mode: Mode, seconds: float) -> None:
    """Until somebody sees to it that nobody is active any more."""
    talk = chat_with(complaint, mode=mode)
    await talk.user("hi")
    with pytest.raises(AssertionError, match="has not ended"):
        _ = talk.open_after_end
    await talk.end()
    assert talk.open_after_end <= timedelta(seconds=seconds)


async def test_it_is_open_until_now_if_nobody_releases(chat_with: ChatWith) -> None:
    """An agent has it, and the bot may not take it."""
    talk = chat_with(complaint, mode="pass", end_while_bot_active_in_pass="stays")
    await talk.user("hi")
    await talk.user("It is broken")
    await talk.end()
    assert talk.open_after_end >= timedelta(seconds=1)


@flow("order")
async def order(chat: Chat) -> None:
    """A flow with a step of every kind."""
    await chat.say("Welcome.")
    name = await chat.ask("Your name?", timeout=timedelta(minutes=2))
    sizes = await chat.gather(chat.call(len, name.text), chat.call(str.upper, name.text))
    await chat.sleep(timedelta(minutes=10))
    await chat.log("order_taken")
    await chat.say(f"{sizes[1]} has {sizes[0]} letters.")
    await chat.ask("Anything else?", choices=["No", "Nothing"])
    await chat.say("Goodbye.")


@pytest.mark.parametrize("mode", ["release", "pass"])
@pytest.mark.parametrize("closing", [None, complaint])
async def test_a_flow_passes_every_death(chat_with: ChatWith, mode: Mode, closing: Any) -> None:
    """It says the same as without one, and its questions still have their time."""
    transcripts = []
    for deaths in (None, "everywhere"):
        talk = chat_with(order, closing=closing, mode=mode, deaths=deaths)
        await talk.user("hi")
        talk.expects("Welcome.", "Your name?")
        await talk.user("Ada")
        await talk.wait(minutes=11)
        talk.expects("ADA has 3 letters.", "Anything else?")
        await talk.taps("No")
        talk.expects("Goodbye.")
        transcripts.append(talk.transcript)
        await talk.end()
        assert talk.open_after_end < timedelta(minutes=1)
        assert talk.logged("order_taken")
    assert transcripts[0] == transcripts[1]
    assert talk._deaths
    assert talk._deaths.count >= 20


async def test_a_flow_that_does_not_survive_is_told(chat_with: ChatWith) -> None:
    """What is not in the journal is another thing each time."""

    async def gambles(chat: Chat) -> None:
        if random.random() < 2:  # noqa: S311 - as an author would
            await chat.say(str(next(numbers)))
        await chat.call(next, numbers)
        if next(numbers) > 3:
            await chat.say("Won")
        else:
            await chat.ask("Again?")

    numbers = iter(range(1000))
    talk = chat_with(gambles)
    await talk.user("hi")
    talk.expects("Again?")
    numbers = iter(range(1000))
    talk = chat_with(gambles, deaths="everywhere")
    await talk.user("hi")
    with pytest.raises(AssertionError, match="did not say 'Again"):
        talk.expects("Again?")


async def test_calls_are_made_twice(chat_with: ChatWith) -> None:
    """The process dies when a call was made and its result is not stored yet."""
    made: list[str] = []

    async def calls(chat: Chat) -> None:
        await chat.call(made.append, "a")
        await chat.say("Done.")

    talk = chat_with(calls, deaths="everywhere")
    await talk.user("hi")
    talk.expects("Done.")
    assert made == ["a", "a"]


async def _connects() -> None:
    async with httpx2.AsyncClient(trust_env=False) as client:
        await client.get("http://backend.invalid/orders")


async def _opens_a_connection() -> None:
    await asyncio.open_connection("127.0.0.1", 9)


async def _starts_a_program() -> None:
    await asyncio.create_subprocess_exec("true")


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (_connects, "the flow looks for the address of backend.invalid:80: chat_with runs in virtual time"),
        (_opens_a_connection, "the flow connects to 127.0.0.1:9: chat_with runs"),
        (_starts_a_program, "the flow starts the program true: chat_with runs"),
    ],
)
async def test_real_io_is_refused_with_what_to_do(chat_with: ChatWith, function: Any, words: str) -> None:
    """Even if the flow makes something else of the error. Nothing times out without a word."""

    async def flow_with_io(chat: Chat) -> None:
        try:
            await chat.call(function)
        except CallFailed:
            await chat.say("Sorry, the shop does not answer.")

    talk = chat_with(flow_with_io)
    with pytest.raises(AssertionError, match=words) as failure:
        await talk.user("hi")
    assert "monkeypatch" in str(failure.value)
    talk = chat_with(flow_with_io, may_fail=True)
    await talk.user("hi")
    talk.expects("Sorry")


async def test_a_thread_of_a_driver_is_waited_for(chat_with: ChatWith) -> None:
    """As aiosqlite's, which works in a thread of its own and wakes the loop from there."""

    async def asks_a_thread() -> str:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[str] = loop.create_future()
        timer = threading.Timer(0.01, lambda: loop.call_soon_threadsafe(answer.set_result, "from a thread"))
        timer.start()
        async with asyncio.timeout(3600):
            return await answer

    async def waits(chat: Chat) -> None:
        await chat.say(await chat.call(asks_a_thread))

    talk = chat_with(waits)
    await talk.user("hi")
    talk.expects("from a thread")


async def test_options_that_exclude_each_other_are_refused(chat_with: ChatWith) -> None:
    """And not just ignored."""
    with pytest.raises(ValueError, match="conflict"):
        chat_with(order, deaths="everywhere", change_worker_every_turn=True)


def test_talks_end_with_their_test() -> None:
    """Also those in which the bot is dying."""
    with ChatWith() as talks:
        talks(order, deaths="everywhere")


async def test_two_calls_at_once_fail_as_in_production(chat_with: ChatWith) -> None:
    """Plain functions have threads there; here they must not just run one after the other."""

    async def hasty(chat: Chat) -> None:
        await asyncio.gather(chat.call(len, "a"), chat.call(len, "b"))

    talk = chat_with(hasty, may_fail=True)
    await talk.user("hi")
    assert "call while call is in progress" in talk.failures[0]
    assert "several calls at once: chat.gather" in talk.failures[0]
