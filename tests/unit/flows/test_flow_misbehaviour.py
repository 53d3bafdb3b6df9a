"""Whatever a flow does: control is given up, and the other conversations are not held up."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from datetime import timedelta
from typing import Any, NoReturn

import pytest
from flow_samples import LONG, MODES, FlowFunction, Play, play

from bot import Chat
from bot.control.policy import Policy
from bot.sandbox.switchboard import BOT

IDLE = 120.0
IMPATIENT = Policy(me=BOT, app_key=True, idle=timedelta(seconds=IDLE))


async def _never() -> NoReturn:
    while True:
        await asyncio.get_running_loop().create_future()


async def _raises(_: Chat) -> None:
    raise RuntimeError("broken")


async def _exits(_: Chat) -> None:
    raise SystemExit(3)


async def _is_interrupted(_: Chat) -> None:
    raise KeyboardInterrupt


async def _raises_generator_exit(_: Chat) -> None:
    raise GeneratorExit


async def _raises_stop_iteration(_: Chat) -> None:
    next(iter(()))


async def _cancels_itself(_: Chat) -> None:
    raise asyncio.CancelledError


async def _exits_in_a_call(chat: Chat) -> None:
    await chat.call(exit, 3)


async def _recurses(chat: Chat) -> None:
    await _recurses(chat)


async def _recurses_and_says(chat: Chat) -> None:
    await chat.say("deeper")
    await _recurses_and_says(chat)


async def _says_ten_thousand_things(chat: Chat) -> None:
    for number in range(10_000):
        await chat.say(f"spam {number}")


async def _says_for_ever_and_swallows(chat: Chat) -> None:
    while True:
        with suppress(BaseException):
            await chat.say("spam")


async def _hangs_in_a_call(chat: Chat) -> None:
    await chat.call(_never)


async def _hangs(_: Chat) -> None:
    await _never()


async def _asks_and_swallows(chat: Chat) -> None:
    while True:
        with suppress(BaseException):
            await chat.ask("Again?")


async def _calls_and_swallows(chat: Chat) -> None:
    while True:
        with suppress(BaseException):
            await chat.call(_never)


async def _hangs_and_swallows(_: Chat) -> None:
    for _number in range(50):
        with suppress(BaseException):
            await asyncio.sleep(LONG)


async def _blocks_the_loop_for_a_second(_: Chat) -> None:
    time.sleep(1)  # noqa: ASYNC251 - what the test is about
    await _never()


async def _waits_for_its_own_task(chat: Chat) -> None:
    await asyncio.create_task(chat.call(_never))


async def _speaks_when_it_is_stopped(chat: Chat) -> None:
    try:
        await chat.call(_never)
    finally:
        await chat.say("last words")


async def _says_all_at_once(chat: Chat) -> None:
    await chat.say("spam " * 10_000_000)


def _is_no_coroutine(_: Chat) -> None:
    """A plain function that somebody called a flow."""


FLOWS: list[tuple[Any, float]] = [
    (_raises, 5),
    (_exits, 5),
    (_is_interrupted, 5),
    (_raises_generator_exit, 5),
    (_raises_stop_iteration, 5),
    (_cancels_itself, 5),
    (_exits_in_a_call, 5),
    (_recurses, 5),
    (_recurses_and_says, 30),
    (_says_ten_thousand_things, 5),
    (_says_for_ever_and_swallows, 5),
    (_says_all_at_once, 5),
    (_is_no_coroutine, 5),
    (_hangs, IDLE + 5),
    (_hangs_in_a_call, IDLE + 5),
    (_asks_and_swallows, 11 * IDLE + 5),
    (_calls_and_swallows, IDLE + 5),
    (_hangs_and_swallows, IDLE + 5),
    (_blocks_the_loop_for_a_second, IDLE + 5),
    (_waits_for_its_own_task, IDLE + 5),
    (_speaks_when_it_is_stopped, IDLE + 5),
]
TALKATIVE = (_recurses_and_says, _says_ten_thousand_things, _says_for_ever_and_swallows)
"""What they say until they are stopped takes seconds."""


def _in_modes(first: int, talkative: FlowFunction) -> list[Any]:
    """Each flow in each mode, the two modes taking turns in the default tier, from MODES[first] on.

    Of `TALKATIVE` it has one flow only.
    """
    made = []
    for place, (flow, _) in enumerate(FLOWS):
        for mode in MODES:
            is_long = MODES.index(mode) != (place + first) % len(MODES) or (flow in TALKATIVE and flow is not talkative)
            marks = (pytest.mark.long,) if is_long else ()
            made.append(pytest.param(flow, mode, marks=marks, id=f"{flow.__name__.strip('_')}-{mode}"))
    return made


@pytest.mark.parametrize(("flow", "mode"), _in_modes(0, _says_ten_thousand_things))
def test_control_is_given_up_whatever_the_flow_does(flow: FlowFunction, mode: str) -> None:
    """At once where it ends by itself, and at the idle deadline where it hangs."""
    within = dict(FLOWS)[flow]

    async def script(played: Play) -> None:
        await played.visitor.says("hi")
        assert await played.given_up() <= within
        assert "last words" not in played.bots
        assert not any(signal.event in ("session_failed", "worker_failed") for signal in played.signals)

    play(script, flow, mode=mode, policy=IMPATIENT)


@pytest.mark.parametrize(("flow", "mode"), _in_modes(1, _says_for_ever_and_swallows))
def test_a_conversation_that_ends_meanwhile_closes(flow: FlowFunction, mode: str) -> None:
    """The turn is cancelled at once and not waited for; a closing flow that does the same can't keep it open."""

    async def script(played: Play) -> None:
        await played.visitor.says("hi")
        await played.stage.wait(timedelta(seconds=1))
        await played.visitor.ends()
        await played.closed()

    play(script, flow, flow, mode=mode, policy=IMPATIENT)


@pytest.mark.parametrize(
    "flow",
    [
        pytest.param(flow, marks=(pytest.mark.long,) if flow in TALKATIVE else ())
        for flow, _ in FLOWS
        if flow not in (_hangs_and_swallows, _blocks_the_loop_for_a_second)
    ],
)
def test_other_conversations_are_not_held_up(flow: FlowFunction) -> None:
    """Twenty that misbehave, and one that is served at once."""

    async def served_or(chat: Chat) -> None:
        if chat.opening.text == "please":
            await chat.say("Served.")
        else:
            await flow(chat)

    async def script(played: Play) -> None:
        for _ in range(5):
            await played.stage.sandbox.visitor().says("hi")
        await played.stage.wait(timedelta(seconds=1))
        await played.visitor.says("please")
        await played.visitor.waits_for("Served.", 2)
        assert await played.given_up() < 2

    play(script, served_or, policy=IMPATIENT)


def test_a_flow_that_swallows_the_error_of_a_misuse_is_over_all_the_same() -> None:
    """Within a second or two, even if it takes no further step."""

    async def flow(chat: Chat) -> None:
        try:
            await asyncio.gather(chat.call(_never), chat.say("x"))
        except Exception:  # noqa: BLE001 - what the test is about
            await _never()

    async def script(played: Play) -> None:
        await played.visitor.says("hi")
        assert await played.given_up() < 5

    play(script, flow)


def test_what_a_flow_leaves_running_can_say_nothing_more() -> None:
    """A task that outlives its turn takes no step."""

    async def flow(chat: Chat) -> None:
        async def later() -> None:
            await asyncio.sleep(5)
            await chat.say("from the grave")

        tasks.append(asyncio.get_running_loop().create_task(later()))
        await chat.ask("?")

    tasks: list[asyncio.Task[None]] = []

    async def script(played: Play) -> None:
        await played.visitor.says("hi")
        await played.visitor.waits_for("?")
        await played.stage.wait(timedelta(minutes=1))
        assert played.bots == ["?"]

    play(script, flow)


async def _says_last_words(chat: Chat) -> None:
    try:
        while True:
            await chat.ask("?")
    finally:
        await chat.say("last words")


async def _cleans_up_slowly(chat: Chat) -> None:
    try:
        while True:
            await chat.ask("?")
    finally:
        for _ in range(3):
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(LONG)


async def _leaves_a_task_that_speaks(chat: Chat) -> None:
    async def speaks() -> None:
        while True:
            await chat.say("and more")
            await asyncio.sleep(0.001)

    while True:
        _left.append(asyncio.get_running_loop().create_task(speaks(), name="flow of its own"))
        await asyncio.sleep(0.01)
        await chat.ask("?")


async def _asks_whatever_happens(chat: Chat) -> None:
    for _ in range(60):
        with suppress(BaseException):
            await chat.ask("?")


async def _asks_for_ever_whatever_happens(chat: Chat) -> None:
    while True:
        with suppress(BaseException):
            await chat.ask("?")


_left: list[asyncio.Task[None]] = []
TURNS = 30


@pytest.mark.parametrize(
    ("flow", "left"),
    [
        (_says_last_words, 0),
        (_cleans_up_slowly, 0),
        pytest.param(_leaves_a_task_that_speaks, 0, marks=pytest.mark.long),
        (_asks_whatever_happens, 0),
        (_asks_for_ever_whatever_happens, TURNS),
    ],
)
def test_many_turns_leave_no_tasks_behind(flow: FlowFunction, left: int) -> None:
    """Whatever a flow does when it is cut off; only one that catches a hundred cancellations is left to stand still."""

    async def script(played: Play) -> None:
        for number in range(TURNS):
            await played.visitor.says(f"word {number}")
            await played.stage.wait(timedelta(seconds=1))
        await played.visitor.ends()
        await played.closed()
        await played.stage.wait(timedelta(hours=2))
        names = [task.get_name() for task in asyncio.all_tasks()]
        assert sum(name.startswith("flow") for name in names) <= left
        assert "last words" not in played.bots

    play(script, flow)
