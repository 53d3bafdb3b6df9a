"""The testing kit, in the words in which a team uses it."""

from __future__ import annotations

import traceback
from datetime import timedelta

import pytest

from bot import Button, Card, Carousel, Chat, NoAnswer, TextField, flow
from bot.flows.survey import survey
from bot.flows.triage import triage
from bot.sandbox.switchboard import BOT, WORKSPACE
from bot.testing.talk import Mode
from bot.testing.talks import ChatWith

in_both_modes = pytest.mark.parametrize("mode", ["release", "pass"])


@flow("greeter")
async def greeter(chat: Chat) -> None:
    """Greets, and asks for a name."""
    await chat.say("Hello!")
    try:
        name = await chat.ask("Who are you?", timeout=timedelta(minutes=5))
    except NoAnswer:
        await chat.say("Nobody, it seems.")
        return
    await chat.say(f"Welcome, {name.text}.")


@flow("shop")
async def shop(chat: Chat) -> None:
    """Shows everything that can be tapped, filled in and sent."""
    order = await chat.ask(Carousel([Card("Tea", [Button("Buy tea", "tea")]), Card("Cake", [Button("Buy cake")])]))
    address = await chat.form(TextField("street", "Street"), TextField("city", "City"))
    await chat.say(f"{order.text} goes to {address.fields['street']} in {address.fields['city']}.")
    picture = await chat.ask("A picture?")
    place = await chat.ask("A place?")
    await chat.say(f"{picture.attachments[0].url} at {place.location and place.location.latitude}")


@in_both_modes
async def test_a_flow_is_played_from_its_first_word_to_its_end(chat_with: ChatWith, mode: Mode) -> None:
    """What it says is expected in its order, and control is given up afterwards."""
    talk = chat_with(greeter, mode=mode)
    await talk.user("hi")
    assert talk.holder == BOT
    talk.expects("Hello!", "Who are you?")
    await talk.user("Ada")
    talk.expects("Welcome, Ada.")
    talk.expects_no_more()
    assert talk.released
    assert talk.holder == (None if mode == "release" else WORKSPACE)
    assert talk.transcript == ["user: hi", "bot: Hello!", "bot: Who are you?", "user: Ada", "bot: Welcome, Ada."]


@in_both_modes
async def test_a_closing_flow_is_brought_to_its_beginning(chat_with: ChatWith, mode: Mode) -> None:
    """The user has written, an agent has helped, and the ticket is closed."""
    talk = chat_with(closing=survey, mode=mode)
    talk.expects("How did we do?")
    assert talk.choices == ["Good", "Bad"]
    await talk.taps("Good")
    talk.expects("Thank you!")
    assert talk.released
    assert talk.holder is None


async def test_a_closing_flow_after_the_users_end(chat_with: ChatWith) -> None:
    """Nobody can answer any more, so nothing is asked."""
    talk = chat_with(closing=survey, mode="pass", after="end")
    talk.expects_no_more()
    assert talk.released
    assert talk.holder is None


async def test_there_is_no_closing_flow_after_an_end_in_release_mode(chat_with: ChatWith) -> None:
    """The platform releases by itself."""
    with pytest.raises(ValueError, match="the platform releases control"):
        chat_with(closing=survey, after="end")


async def test_opening_and_closing_flows_in_one_talk(chat_with: ChatWith) -> None:
    """The whole life of a conversation, with an agent in between."""
    talk = chat_with(triage, closing=survey, mode="pass")
    await talk.user("hi")
    await talk.taps("Talk to a person")
    assert talk.holder == WORKSPACE
    await talk.agent("This is Ada.")
    await talk.agent_closes()
    await talk.taps("Bad")
    assert talk.transcript[-4:] == ["agent: This is Ada.", "bot: How did we do?", "user: Bad", "bot: Thank you!"]
    assert talk.released


async def test_time_is_virtual(chat_with: ChatWith) -> None:
    """Five minutes pass at once."""
    talk = chat_with(greeter)
    await talk.user("hi")
    await talk.wait(minutes=4, seconds=30)
    talk.expects("Who are you?")
    talk.expects_no_more()
    await talk.wait(hours=0.02)
    talk.expects("Nobody, it seems.")
    assert talk.released


@in_both_modes
async def test_the_user_may_end_at_any_time(chat_with: ChatWith, mode: Mode) -> None:
    """The flow is stopped, and the release is proven."""
    talk = chat_with(greeter, mode=mode)
    await talk.user("hi")
    await talk.end()
    assert talk.released
    assert talk.holder is None
    assert talk.said == ["Hello!", "Who are you?"]


async def test_an_agent_may_write_at_any_time(chat_with: ChatWith) -> None:
    """And has the conversation then."""
    talk = chat_with(greeter)
    await talk.user("hi")
    await talk.agent("I take this one.")
    assert talk.holder == WORKSPACE
    assert talk.released


async def test_everything_that_a_user_can_do(chat_with: ChatWith) -> None:
    """Tap a card, fill in a form, send a picture and a place."""
    talk = chat_with(shop)
    await talk.user("hi")
    assert talk.choices == ["Buy tea", "Buy cake"]
    await talk.taps("Buy cake")
    await talk.fills_in(street="Main Street 1", city="Springfield")
    talk.expects("Buy cake goes to Main Street 1 in Springfield.")
    await talk.sends_image("https://example.com/cat.jpg")
    await talk.sends_location(48.2, 16.4)
    talk.expects("https://example.com/cat.jpg at 48.2")
    assert talk.transcript == [
        "user: hi",
        "bot: [carousel: Tea | Cake]",
        "user: [taps Buy cake]",
        "bot: [form: Street, City]",
        "user: [formResponse: Street: Main Street 1, City: Springfield]",
        "bot: Buy cake goes to Main Street 1 in Springfield.",
        "bot: A picture?",
        "user: [image: https://example.com/cat.jpg]",
        "bot: A place?",
        "user: [location: 48.2, 16.4]",
        "bot: https://example.com/cat.jpg at 48.2",
    ]


async def test_a_flow_that_fails_fails_the_test(chat_with: ChatWith) -> None:
    """At the step that made it fail; unless the test is about that."""

    async def broken(chat: Chat) -> None:
        await chat.ask("?")
        raise ValueError

    talk = chat_with(broken)
    await talk.user("hi")
    with pytest.raises(AssertionError, match=r"the flow failed: ValueError at .*test_chat_with\.py:\d+") as failure:
        await talk.user("boom")
    assert isinstance(failure.value.__cause__, ValueError)
    talk = chat_with(broken, may_fail=True)
    await talk.user("hi")
    await talk.user("boom")
    assert len(talk.failures) == 1
    assert talk.released


async def test_what_was_not_said_is_told_with_what_was(chat_with: ChatWith) -> None:
    """So that the report is all that one needs."""
    talk = chat_with(greeter)
    await talk.user("hi")
    with pytest.raises(AssertionError) as caught:
        talk.expects("Goodbye")
    assert "did not say 'Goodbye'" in str(caught.value)
    assert "Who are you?" in str(caught.value)
    assert "user: hi" in str(caught.value)
    with pytest.raises(AssertionError, match="has said more"):
        talk.expects_no_more()


async def test_before_the_first_word_there_is_nothing(chat_with: ChatWith) -> None:
    """No transcript, and nothing to tap."""
    talk = chat_with(greeter)
    assert talk.transcript == []
    with pytest.raises(AssertionError, match="nothing"):
        talk.expects("Hello!")


async def test_a_test_needs_a_flow(chat_with: ChatWith) -> None:
    """Else there is nothing to test."""
    with pytest.raises(ValueError, match="needs a flow"):
        chat_with()
    with pytest.raises(TypeError, match="takes a flow, not 'greeter'"):
        chat_with("greeter")  # type: ignore[arg-type]


async def test_a_flow_that_is_no_coroutine_function_is_told(chat_with: ChatWith) -> None:
    """Somebody forgot `async`."""

    def hasty(_: Chat) -> None:
        """Returns nothing that could be awaited."""

    talk = chat_with(hasty, may_fail=True)  # type: ignore[arg-type]
    await talk.user("hi")
    assert talk.failures == ["FlowMisuse: flow 'hasty' is not a coroutine function: define it with `async def`"]


@in_both_modes
@pytest.mark.parametrize("option", ["restart_every_turn", "change_worker_every_turn"])
async def test_a_restart_or_another_worker_at_every_turn_changes_nothing(
    chat_with: ChatWith, mode: Mode, option: str
) -> None:
    """The journal is all that a flow needs."""
    transcripts, workers = [], []
    for options in ({}, {option: True}):
        talk = chat_with(shop, closing=survey, mode=mode, **options)  # type: ignore[arg-type]
        await talk.user("hi")
        await talk.taps("Buy tea")
        await talk.fills_in(street="Main Street 1", city="Springfield")
        await talk.sends_image("https://example.com/cat.jpg")
        await talk.sends_location(48.2, 16.4)
        transcripts.append(talk.transcript)
        workers.append(len(talk._stage.processes))
        assert talk.released
    assert transcripts[0] == transcripts[1]
    assert workers[1] > workers[0]


async def test_a_process_that_is_killed_in_a_slow_turn_is_replaced(chat_with: ChatWith) -> None:
    """`restart` can come at any time."""
    talk = chat_with(greeter)
    await talk.user("hi")
    await talk.restart()
    await talk.user("Ada")
    talk.expects("Welcome, Ada.")


async def test_a_failed_test_shows_what_the_flow_raised(chat_with: ChatWith) -> None:
    """The whole traceback with its causes, whichever line of the test fails."""

    async def looks_up(chat: Chat) -> None:
        await chat.say("One moment.")
        try:
            prices: dict[str, int] = {}
            prices["missing"]
        except KeyError as error:
            raise RuntimeError("no such thing") from error

    talk = chat_with(looks_up, may_fail=True)
    await talk.user("hi")
    (error,) = talk.errors
    assert (str(error), type(error.__cause__)) == ("no such thing", KeyError)
    with pytest.raises(AssertionError, match="did not say 'Done'") as failure:
        talk.expects("Done")
    assert failure.value.__cause__ is error
    shown = "".join(traceback.format_exception(failure.value))
    assert "in looks_up" in shown
    assert "KeyError: 'missing'" in shown
