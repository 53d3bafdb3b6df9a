"""`chat.remind`: control is released now, and a flow begins later, where nobody is active then."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from flow_samples import assert_misuse

from bot import Chat, NoAnswer, flow
from bot.flows.limits import LARGEST_DATA
from bot.testing.talk import Mode
from bot.testing.talks import ChatWith

in_both_modes = pytest.mark.parametrize("mode", ["release", "pass"])
with_deaths = pytest.mark.parametrize("deaths", [None, "everywhere"])
DAY = timedelta(days=1)


@flow("cart")
async def cart(chat: Chat) -> None:
    """Lets the user go, and comes back tomorrow."""
    await chat.say("Your cart is kept.")
    await chat.remind(DAY, "cart_reminder", {"items": 2, "run": chat.run_id})


@flow("cart_reminder")
async def cart_reminder(chat: Chat) -> None:
    """Comes back."""
    asked = f"{chat.opening.kind}: {chat.opening.data['items']} items, {chat.user.name}. Buy?"
    try:
        answer = await chat.ask(asked, choices=["Yes", "No"], timeout=timedelta(minutes=5))
    except NoAnswer:
        return
    await chat.say(f"{answer.text}, fine.")


@in_both_modes
@with_deaths
async def test_the_flow_begins_when_its_time_has_come(chat_with: ChatWith, mode: Mode, deaths: Any) -> None:
    """Control is with nobody meanwhile, and released again afterwards: nobody has answered, so nobody is to take on."""
    talk = chat_with(cart, flows=[cart_reminder], mode=mode, deaths=deaths)
    await talk.user("hi")
    talk.expects("Your cart is kept.")
    assert (talk.holder, talk.released) == (None, True)
    (reminder,) = talk.reminders
    assert (reminder.flow, reminder.data["items"]) == ("cart_reminder", 2)
    assert timedelta(0) <= DAY - reminder.after < timedelta(minutes=10)
    await talk.until_reminder()
    talk.expects("reminder: 2 items, Sam. Buy?")
    assert (talk.holder, talk.reminders) == ("switchboard-bot", [])
    await talk.wait(minutes=6)
    assert (talk.holder, talk.released) == (None, True)
    talk.expects_no_more()


@in_both_modes
async def test_who_answers_is_served(chat_with: ChatWith, mode: Mode) -> None:
    """As in every flow; in mode "pass" control then goes on to the agents."""
    talk = chat_with(cart, flows=[cart_reminder], mode=mode)
    await talk.user("hi")
    await talk.until_reminder()
    await talk.taps("Yes")
    talk.expects("Buy?", "Yes, fine.")
    assert talk.holder == ("zd-agentWorkspace" if mode == "pass" else None)


async def test_a_newer_one_replaces_it(chat_with: ChatWith) -> None:
    """One of the same flow; another flow's stays."""

    @flow("other")
    async def other(chat: Chat) -> None:
        await chat.say("the other")

    async def reminds(chat: Chat) -> None:
        match chat.opening.text:
            case "other":
                await chat.remind(timedelta(hours=1), other)
            case text:
                await chat.remind(DAY, cart_reminder, {"items": text})

    talk = chat_with(reminds, flows=[cart_reminder, other])
    for word in ("one", "other", "two"):
        await talk.user(word)
    assert [(known.flow, known.data) for known in talk.reminders] == [
        ("other", None),
        ("cart_reminder", {"items": "two"}),
    ]
    await talk.until_reminder()
    talk.expects("the other")
    await talk.until_reminder()
    talk.expects("two items")
    talk.expects_no_more()


async def test_it_is_dropped_where_somebody_is_active(chat_with: ChatWith) -> None:
    """An agent, or a flow that the user has begun; and it is told why."""

    async def once(chat: Chat) -> None:
        if chat.opening.text == "later":
            await chat.remind(timedelta(minutes=2), "cart_reminder")
        if chat.opening.text == "agent":
            await chat.hand_over()
        await chat.ask("What else?")

    talk = chat_with(once, flows=[cart_reminder])
    await talk.user("later")
    await talk.user("agent")
    await talk.until_reminder()
    assert (talk.said, talk.holder) == ([], "zd-agentWorkspace")
    assert talk.logged("reminder_dropped") == [{"detail": "cart_reminder: zd-agentWorkspace is active"}]

    talk = chat_with(once, flows=[cart_reminder])
    await talk.user("later")
    await talk.user("again")
    await talk.until_reminder()
    assert talk.said == ["What else?"]
    assert talk.logged("reminder_dropped") == [{"detail": "cart_reminder: a flow is at work"}]


async def test_it_is_dropped_after_the_end(chat_with: ChatWith) -> None:
    """The user can't answer any more."""
    talk = chat_with(cart, flows=[cart_reminder])
    await talk.user("hi")
    await talk.end()
    await talk.until_reminder()
    assert talk.said == ["Your cart is kept."]
    assert talk.logged("reminder_dropped") == [{"detail": "cart_reminder: the user has ended the conversation"}]
    with pytest.raises(AssertionError, match="there is no reminder"):
        await talk.until_reminder()


def test_there_are_none_before_the_user_writes(chat_with: ChatWith) -> None:
    """There is no conversation yet."""
    assert chat_with(cart, flows=[cart_reminder]).reminders == []


@pytest.mark.parametrize(
    ("misuse", "words"),
    [
        (lambda chat: chat.remind(DAY, "nothing"), "the flow of a reminder must be in a module of FLOWS"),
        (lambda chat: chat.remind(timedelta(0), "x"), "the time until a reminder must be positive and at most 30"),
        (lambda chat: chat.remind(31 * DAY, "x"), "the time until a reminder must be positive and at most 30"),
        (lambda chat: chat.remind(5, "x"), "the time until a reminder must be a timedelta"),
    ],
)
def test_a_misuse_says_what_is_wrong(misuse: Any, words: str) -> None:
    """At once."""
    assert_misuse(misuse, words)


@pytest.mark.parametrize(
    ("data", "words"),
    [(object(), "has no JSON form"), ("x" * LARGEST_DATA, f"at most {LARGEST_DATA} bytes")],
)
async def test_data_that_can_not_be_kept(chat_with: ChatWith, data: Any, words: str) -> None:
    """The flow fails, as with every misuse; control is given up."""

    async def reminds(chat: Chat) -> None:
        await chat.remind(DAY, cart_reminder, data)

    talk = chat_with(reminds, flows=[cart_reminder], may_fail=True)
    await talk.user("hi")
    assert words in talk.failures[0]
    assert talk.released
