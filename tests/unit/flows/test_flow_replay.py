"""A process may die between any two steps of a flow: what is said, and in which order, stays the same."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import Any

import pytest
from flow_samples import LONG, MODES, FlowFunction, Play, play
from readme_flows import readme_module
from tiers import some

from bot import Button, CallFailed, Card, Carousel, Chat, Image, NoAnswer, SelectField, TextField
from bot.flows.assistant import assistant
from bot.flows.survey import survey
from bot.flows.triage import triage
from bot.replay.harness import Process
from bot.sandbox.demo_flows import demo
from bot.sandbox.tour_flows import farewell, tour

SAVES = 100  # more than any of these conversations has


@dataclass(frozen=True)
class Plot:
    """A flow, and what the visitor does in it."""

    name: str
    flow: FlowFunction
    visit: Callable[[Play], Coroutine[Any, Any, None]]


async def _order(chat: Chat) -> None:
    await chat.say("Welcome.")
    name = await chat.ask("Your name?")
    size = await chat.call(len, name.text)
    await chat.say(f"{name.text} has {size} letters.")
    while True:
        answer = await chat.ask("Another?", choices=["Yes", "No"])
        if answer.payload == "No":
            break
        await chat.say("One more.")
    await chat.say("Goodbye.")


async def _orders(played: Play) -> None:
    visitor = played.visitor
    await visitor.says("hi")
    await visitor.waits_for("name?", LONG)
    await visitor.says("Ada")
    await visitor.waits_for("Another?", LONG)
    await visitor.taps("Yes")
    await visitor.waits_for("Another?", LONG)
    await visitor.taps("No")
    await visitor.waits_for("Goodbye.", LONG)


async def _patient(chat: Chat) -> None:
    await chat.say("Wait.")
    await chat.sleep(timedelta(minutes=2))
    try:
        await chat.ask("Still there?", timeout=timedelta(minutes=1))
    except NoAnswer:
        await chat.say("It seems not.")
    await chat.call(asyncio.sleep, 3)
    await chat.say("The end.")


async def _is_silent(played: Play) -> None:
    await played.visitor.says("hi")
    await played.visitor.waits_for("The end.", LONG)


def _refuse() -> None:
    raise OSError("down")


async def _failing(chat: Chat) -> None:
    for number in range(3):
        try:
            await chat.call(_refuse)
        except CallFailed as failed:
            await chat.say(f"{number}: {failed.error}")
    await chat.release()


async def _looks_on(played: Play) -> None:
    await played.visitor.says("hi")
    await played.visitor.waits_for("2: OSError: down", LONG)


async def _talkative(chat: Chat) -> None:
    for number in range(6):
        await chat.say(f"{number}. " + "word " * 1000)
    await chat.hand_over()


async def _listens(played: Play) -> None:
    await played.visitor.says("hi")
    await played.visitor.waits_for("5. ", LONG)


async def _asks_for_hours(played: Play) -> None:
    await played.visitor.says("hi")
    await played.visitor.waits_for("What can I do", LONG)
    await played.visitor.taps("Track my order")
    await played.visitor.waits_for("order number", LONG)
    await played.visitor.says("4711")
    await played.visitor.waits_for("anything else", LONG)
    await played.visitor.says("bye")
    await played.visitor.waits_for("Goodbye", LONG)


def _unlock() -> None:
    """Clean-up of the next flow."""


async def _rich(chat: Chat) -> None:
    await chat.on_end(_unlock)
    tea = await chat.ask(Carousel([Card("Tea", [Button("Buy tea", "tea")])]))
    await chat.say(Image("https://example.com/tea.png", tea.text))
    order = await chat.form(TextField("city", "City"), SelectField("size", "Size", ["Small", "Large"]))
    await chat.say(f"{order.fields['size']} to {order.fields['city']}", buttons=[Button("Again")])
    kind = await chat.ask("Good?", choices=["Yes", "No"])
    await chat.say(f"{kind.choice and kind.choice.text}, {len(await chat.history()) > 3}")


async def _buys(played: Play) -> None:
    visitor = played.visitor
    await visitor.says("hi")
    await visitor.waits_for(lambda message: message.content["type"] == "carousel", LONG)
    await visitor.taps("Buy tea")
    await visitor.waits_for(lambda message: message.content["type"] == "form", LONG)
    await visitor.fills_in({"city": "Springfield", "size": "Large"})
    await visitor.waits_for("Good?", LONG)
    await visitor.says("yes")
    await visitor.waits_for("Yes, True", LONG)


async def _chats(played: Play) -> None:
    await played.visitor.says("hello")
    await played.visitor.waits_for("sample assistant", LONG)
    await played.visitor.says("What can you do?")
    await played.visitor.waits_for("two questions", LONG)
    await played.visitor.says("I want a refund from a person")
    await played.visitor.waits_for("getting a person", LONG)


async def _is_asked(played: Play) -> None:
    await played.visitor.says("hi")
    await played.visitor.waits_for("How did we do?", LONG)
    await played.visitor.taps("Good")
    await played.visitor.waits_for("Thank you!", LONG)


async def _takes_the_tour(played: Play) -> None:
    visitor = played.visitor
    await visitor.says("hi")
    await visitor.waits_for("What can I do", LONG)
    await visitor.taps("Buy tea")
    await visitor.waits_for(lambda message: message.content["type"] == "carousel", LONG)
    await visitor.taps("Buy")
    await visitor.waits_for("on its way", LONG)
    await visitor.waits_for("anything else", LONG)
    await visitor.taps("Book a tasting")
    await visitor.waits_for(lambda message: message.content["type"] == "form", LONG)
    await visitor.fills_in({"name": "Ada", "mail": "ada@example.com", "time": "In the morning"})
    await visitor.waits_for("See you in the morning, Ada!", LONG)
    await visitor.waits_for("anything else", LONG)
    await visitor.taps("Ask something hard")
    await visitor.waits_for("boil the water", LONG)
    await visitor.waits_for("anything else", LONG)
    await visitor.taps("That's all")
    await visitor.waits_for("Goodbye", LONG)


async def _shops(played: Play) -> None:
    visitor = played.visitor
    await visitor.says("hi")
    await visitor.waits_for(lambda message: message.content["type"] == "carousel", LONG)
    await visitor.taps("Buy")
    await visitor.waits_for(lambda message: message.content["type"] == "form", LONG)
    await visitor.fills_in({"mail": "ada@example.com", "size": "Large"})
    await visitor.waits_for("A large one is yours.", LONG)


async def _is_welcomed(played: Play) -> None:
    await played.visitor.says("hi")
    await played.visitor.waits_for("Welcome!", LONG)
    await _shops(played)


async def _is_echoed(played: Play) -> None:
    await played.visitor.says("Hello there")
    await played.visitor.waits_for("You said: Hello there", LONG)
    await played.visitor.says("thanks")
    await played.visitor.waits_for("Goodbye", LONG)


async def _looks_up(played: Play) -> None:
    await played.visitor.says("tea?")
    await played.visitor.waits_for("tea costs 4.20, and 3 are left.", LONG)


_first, _shop, _own = readme_module("my_flows"), readme_module("shop"), readme_module("my_assistant")

PLOTS = (
    Plot("order", _order, _orders),
    Plot("patient", _patient, _is_silent),
    Plot("failing", _failing, _looks_on),
    Plot("talkative", _talkative, _listens),
    Plot("triage", triage.function, _asks_for_hours),  # type: ignore[arg-type]
    Plot("survey", survey.function, _is_asked),  # type: ignore[arg-type]
    Plot("assistant", assistant.function, _chats),  # type: ignore[arg-type]
    Plot("rich", _rich, _buys),
    Plot("demo", demo.function, _asks_for_hours),  # type: ignore[arg-type]
    Plot("tour", tour.function, _takes_the_tour),  # type: ignore[arg-type]
    Plot("farewell", farewell.function, _is_asked),  # type: ignore[arg-type]
    Plot("the README's feedback", _first.feedback.function, _is_asked),
    Plot("the README's shop", _shop.shop.function, _shops),
    Plot("the README's welcome", _shop.welcome.function, _is_welcomed),
    Plot("the README's assistant", _own.assistant.function, _is_echoed),
    Plot("the README's prices", readme_module("prices").prices.function, _looks_up),
)


def _played(
    plot: Plot, mode: str, dies: Callable[[str, int], bool], *, until_served: bool = False
) -> tuple[list[str], int]:
    """The transcript of a plot in which each process dies where `dies(point, number of the save)` says so.

    `until_served`: and none once the user has heard all. A process that dies at its first save can't release: an
    action that may have been carried out is never just repeated, and finding out takes two saves.
    """
    saves = 0

    async def script(played: Play) -> None:
        nonlocal saves

        async def before(process: Process, operation: str) -> None:
            nonlocal saves
            if operation == "save":
                saves += 1
                if dies("before", saves):
                    played.replaced(process)

        async def after(process: Process, operation: str) -> None:
            if operation == "save" and dies("after", saves):
                played.replaced(process)

        played.stage.interference.store, played.stage.interference.stored = before, after
        await plot.visit(played)
        if until_served:
            played.stage.interference.store = played.stage.interference.stored = None
        await played.given_up()
        transcripts.append(played.transcript)

    transcripts: list[list[str]] = []
    play(script, plot.flow, survey.function, mode=mode)  # type: ignore[arg-type]
    return transcripts[0], saves


def _once(point: str, number: int) -> Callable[[str, int], bool]:
    return lambda at, save: (at, save) == (point, number)


@lru_cache
def _undisturbed(plot: Plot, mode: str) -> tuple[list[str], int]:
    return _played(plot, mode, lambda _, __: False)


@pytest.mark.parametrize("every", some([7, 1]))
@pytest.mark.parametrize("mode", some(MODES))
@pytest.mark.parametrize("plot", some(PLOTS, every=3), ids=lambda plot: plot.name)
def test_a_death_at_any_one_save_changes_nothing(plot: Plot, mode: str, every: int) -> None:
    """Before it, so that its step is taken again, or after it, so that the next process goes on from there."""
    expected, saves = _undisturbed(plot, mode)
    assert 3 < saves < SAVES
    for point in ("before", "after"):
        for number in range(1, saves + 1, every):
            transcript, _ = _played(plot, mode, _once(point, number))
            assert transcript == expected, f"died {point} save {number}"


@pytest.mark.parametrize("every", some([3, 4, 5]))
@pytest.mark.parametrize("plot", some(PLOTS, every=2), ids=lambda plot: plot.name)
def test_many_deaths_change_nothing(plot: Plot, every: int) -> None:
    """A process that dies at every third save still gets there."""
    expected, _ = _undisturbed(plot, "release")
    transcript, _ = _played(plot, "release", lambda at, save: at == "after" and save % every == 0 and save < SAVES)
    assert transcript == expected


@pytest.mark.parametrize("mode", some(reversed(MODES)))
@pytest.mark.parametrize("plot", PLOTS, ids=lambda plot: plot.name)
def test_a_death_between_every_two_steps_changes_nothing(plot: Plot, mode: str) -> None:
    """Every process dies at its first save, and so takes one step at most."""
    expected, _ = _undisturbed(plot, mode)
    transcript, deaths = _played(plot, mode, lambda at, _: at == "after", until_served=True)
    assert transcript == expected
    assert deaths >= sum(line.startswith("bot: ") for line in expected)


@pytest.mark.parametrize("mode", some(MODES))
@pytest.mark.parametrize("plot", PLOTS, ids=lambda plot: plot.name)
def test_another_worker_at_every_turn_changes_nothing(plot: Plot, mode: str) -> None:
    """Two workers share a conversation: whoever had the last turn lets the other one go first."""
    turns: list[str] = []
    transcripts: list[list[str]] = []

    async def script(played: Play) -> None:
        async def take_turns(process: Process, operation: str) -> None:
            if operation == "save" and turns[-1:] != [process.name]:
                turns.append(process.name)
            if operation == "claim" and turns[-1:] == [process.name]:
                await asyncio.sleep(0.003)  # and is awake again when the next event comes

        await played.stage.start_process()
        played.stage.interference.store = take_turns
        await plot.visit(played)
        await played.given_up()
        transcripts.append(played.transcript)

    play(script, plot.flow, survey.function, mode=mode)  # type: ignore[arg-type]
    assert transcripts == [_undisturbed(plot, mode)[0]]
    asked = sum(line.startswith("user: ") for line in transcripts[0])
    assert len(turns) >= asked
