"""Signals from other systems: they wake the flow that waits for them, once, and are kept until it asks."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from flow_samples import assert_misuse

from bot import Chat, NoAnswer, flow
from bot.control.state import Conversation, Opening, OpeningKind, Purpose, Run, RunStatus
from bot.engine.flow_task import prepare
from bot.flows.turn import FIRST_TOLD, SIGNALS_LIMIT, TOLD
from bot.store.interface import JournalEntry
from bot.testing.talk import Mode
from bot.testing.talks import ChatWith

in_both_modes = pytest.mark.parametrize("mode", ["release", "pass"])
with_deaths = pytest.mark.parametrize("deaths", [None, "everywhere"])
HOUR = timedelta(hours=1)


@flow("payment")
async def payment(chat: Chat) -> None:
    """Waits for money."""
    await chat.say("Please pay.")
    try:
        paid = await chat.signal("paid", timeout=HOUR)
    except NoAnswer:
        await chat.say("No money came.")
        return
    answer = await chat.ask(f"Got {paid['amount']}. A receipt?", choices=["Yes", "No"])
    await chat.say(f"{answer.text}, fine.")


@in_both_modes
@with_deaths
async def test_a_signal_lets_the_flow_go_on(chat_with: ChatWith, mode: Mode, deaths: Any) -> None:
    """At once, with its data. What the user says meanwhile is kept for the next question."""
    talk = chat_with(payment, mode=mode, deaths=deaths)
    await talk.user("hi")
    talk.expects("Please pay.")
    await talk.user("Yes")
    talk.expects_no_more()
    await talk.signal("paid", {"amount": 7})
    talk.expects("Got 7. A receipt?", "Yes, fine.")
    assert talk.released or mode == "pass"


@with_deaths
async def test_no_signal_is_no_answer(chat_with: ChatWith, deaths: Any) -> None:
    """When the time is over. Signals of other names and what the user says don't make it longer."""
    talk = chat_with(payment, deaths=deaths)
    await talk.user("hi")
    await talk.signal("shipped")
    await talk.user("Hello?")
    await talk.wait(minutes=50)
    talk.expects("Please pay.")
    talk.expects_no_more()
    await talk.wait(minutes=11)
    talk.expects("No money came.")


@with_deaths
async def test_what_comes_before_the_flow_asks_is_kept(chat_with: ChatWith, deaths: Any) -> None:
    """In its order, each once."""

    async def collects(chat: Chat) -> None:
        await chat.ask("Ready?")
        first, second = await chat.signal("paid"), await chat.signal("paid")
        other = await chat.signal("shipped")
        await chat.say(f"{first}, {second}, {other}.")

    talk = chat_with(collects, deaths=deaths)
    await talk.user("hi")
    await talk.signal("paid", 1)
    await talk.signal("shipped")
    await talk.signal("paid", [2])
    talk.expects("Ready?")
    talk.expects_no_more()
    await talk.user("yes")
    talk.expects("1, [2], None.")


async def test_one_that_is_repeated_counts_once(chat_with: ChatWith) -> None:
    """By its idempotency key."""

    async def counts(chat: Chat) -> None:
        first = await chat.signal("paid")
        try:
            await chat.say(f"{first} and {await chat.signal('paid')}")
        except NoAnswer:
            await chat.say(f"{first} alone")

    talk = chat_with(counts)
    await talk.user("hi")
    await talk.signal("paid", 1, key="a")
    await talk.signal("paid", 1, key="a")
    await talk.wait(minutes=16)
    talk.expects("1 alone")


async def test_one_that_comes_while_a_turn_runs_is_heard(chat_with: ChatWith) -> None:
    """Also if the flow is just about to wait."""
    waits: list[Any] = []

    async def begins_it(chat: Chat) -> None:
        await chat.call(lambda: waits.append(chat.conversation_id))
        await chat.sleep(timedelta(seconds=1))
        await chat.say(str(await chat.signal("paid")))

    talk = chat_with(begins_it)
    await talk.user("hi")
    await talk.signal("paid", "early")
    await talk.wait(seconds=2)
    talk.expects("early")


async def test_one_that_nobody_hears_is_told(chat_with: ChatWith) -> None:
    """The flow is over; or it has heard too many."""
    talk = chat_with(payment)
    await talk.user("hi")
    await talk.signal("paid", {"amount": 1})
    await talk.taps("No")
    await talk.signal("paid", {"amount": 2})
    assert talk.logged("signal_unheard") == [{"signal": "paid"}]

    talk = chat_with(payment)
    await talk.user("hi")
    for _ in range(SIGNALS_LIMIT + 2):
        await talk.signal("noise")
    assert talk.logged("signal_unheard") == [{"signal": "noise"}] * 2


async def test_the_end_of_the_user_ends_the_wait(chat_with: ChatWith) -> None:
    """As it ends every flow."""
    talk = chat_with(payment, mode="pass")
    await talk.user("hi")
    await talk.end()
    await talk.signal("paid", {"amount": 1})
    assert talk.said == ["Please pay."]
    assert talk.released


@pytest.mark.parametrize(
    ("misuse", "words"),
    [
        (lambda chat: chat.signal("Paid!"), "the name of a signal must be short and in snake_case"),
        (lambda chat: chat.signal("paid", 5), "the timeout of a signal must be a timedelta"),
    ],
)
def test_a_misuse_says_what_is_wrong(misuse: Any, words: str) -> None:
    """At once."""
    assert_misuse(misuse, words)


async def test_one_that_is_there_before_the_first_turn_is_not_the_beginning(chat_with: ChatWith) -> None:
    """A worker that stops may leave a run that is to begin, and a signal for it."""
    talk = chat_with(payment)
    context = talk._stage.processes[0].context
    at = talk._stage.clock.now()
    run = Run(1, Purpose.OPENING, Opening(OpeningKind.MESSAGE), at, RunStatus.READY, at, at + HOUR)
    told = JournalEntry(1, FIRST_TOLD, TOLD, "paid", {"amount": 7}, 13)

    async def begun() -> list[str]:
        state = Conversation("c1", run=run)
        performance, first, outcome = prepare(context, state, run, [told], {}, lambda: None, lambda: False)
        assert performance
        assert outcome is None
        await asyncio.sleep(0)
        entries, _ = performance.turn.take()
        performance.cut_off()
        return [
            f"{entry.index} {entry.kind} {'' if entry.kind in ('say', 'ask') else entry.key}"
            for entry in (*first, *entries)
        ]

    assert talk._run(begun()) == ["0 began payment", "1 say ", "2 signal paid", "3 signalled paid", "4 ask "]
