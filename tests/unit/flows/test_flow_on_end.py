"""Clean-up: what a flow wants done when it is over, however that comes, and that nothing waits for it."""

from __future__ import annotations

import asyncio
import sys
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from flow_samples import LONG, MODES, FlowFunction, Play, assert_misuse, interrupted, play

from bot import Chat
from bot.control.policy import Policy
from bot.replay.harness import Process
from bot.sandbox.switchboard import BOT
from bot.store.interface import Unavailable

calls: list[tuple[Any, ...]] = []
"""What clean-up has been called with; `broken` makes it fail so often."""
broken: list[int] = [0]

MINUTE = timedelta(minutes=1)


@pytest.fixture(autouse=True)
def _forget() -> None:
    calls.clear()
    broken[0] = 0


def unlock(*what: Any, **more: Any) -> None:
    """Clean-up as a plain function."""
    calls.append((*what, *more.items()))
    if len(calls) <= broken[0]:
        raise OSError("not now")


async def unlock_later(*what: Any) -> None:
    """Clean-up as a coroutine function."""
    await asyncio.sleep(2)
    calls.append(what)


async def hang(*what: Any) -> None:
    """Clean-up that is never done."""
    calls.append(what)
    await asyncio.get_running_loop().create_future()


class Box:
    """Something with functions in it."""

    @classmethod
    def open(cls) -> None:
        """Bound to the class, anew at each look."""

    @staticmethod
    def close(*what: Any) -> None:
        """Clean-up within a class."""
        calls.append(what)


async def _asks(chat: Chat) -> None:
    await chat.on_end(unlock, "door", times=2)
    await chat.ask("?")


async def _returns(chat: Chat) -> None:
    await chat.on_end(unlock, "door", times=2)


async def _raises(chat: Chat) -> None:
    await chat.on_end(unlock, "door", times=2)
    raise RuntimeError


async def _releases(chat: Chat) -> None:
    await chat.on_end(unlock, "door", times=2)
    await chat.release()


async def _hands_over(chat: Chat) -> None:
    await chat.on_end(unlock, "door", times=2)
    await chat.hand_over()


async def _hangs(chat: Chat) -> None:
    await chat.on_end(unlock, "door", times=2)
    await asyncio.get_running_loop().create_future()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("flow", [_returns, _raises, _releases, _hands_over])
def test_it_is_called_once_when_the_flow_is_over(flow: FlowFunction, mode: str) -> None:
    """In whichever way."""

    async def script(played: Play) -> None:
        await played.visitor.says("hi")
        assert await played.given_up() < 5
        await played.closed()
        assert calls == [("door", ("times", 2))]

    play(script, flow, mode=mode)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("flow", [_asks, _hangs])
@pytest.mark.parametrize("how", ["end", "loss", "agent", "deadline", "removal"])
def test_it_is_called_once_when_the_flow_is_interrupted(flow: FlowFunction, how: str, mode: str) -> None:
    """While it waits for the user, and in the middle of a turn."""

    async def script(played: Play) -> None:
        await played.visitor.says("hi")
        await interrupted(played, how)
        await played.stage.wait(40 * MINUTE)
        assert calls == [("door", ("times", 2))]

    play(script, flow, mode=mode)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("function", [unlock_later, hang])
def test_the_release_does_not_wait_for_it(function: Any, mode: str) -> None:
    """Nor does what was said before, or the next contact."""

    async def flow(chat: Chat) -> None:
        await chat.on_end(function, chat.run_id, timeout=5 * MINUTE, attempts=1)
        await chat.say(f"Hello {chat.opening.text}")
        await chat.release()

    async def script(played: Play) -> None:
        await played.visitor.says("one")
        assert await played.given_up() < 1
        await played.stage.wait(timedelta(seconds=1))
        await played.visitor.says("two")
        await played.visitor.waits_for("Hello two", 2)
        assert await played.given_up() < 1
        await played.stage.wait(11 * MINUTE)
        assert len(calls) == 2

    play(script, flow, mode=mode)


@pytest.mark.parametrize(("attempts", "failing", "expected"), [(3, 0, 1), (3, 2, 3), (3, 9, 3), (1, 9, 1), (5, 4, 5)])
def test_it_is_tried_as_often_as_is_asked(attempts: int, failing: int, expected: int) -> None:
    """With a growing pause; what fails for good is told."""
    broken[0] = failing

    async def flow(chat: Chat) -> None:
        await chat.on_end(unlock, attempts=attempts)

    async def script(played: Play) -> None:
        await played.visitor.says("hi")
        await played.given_up()
        await played.closed()
        await played.stage.wait(10 * MINUTE)
        assert len(calls) == expected
        told = [signal.fields["error"] for signal in played.signals if signal.event == "clean_up_failed"]
        assert told == (["OSError"] if failing >= attempts else [])

    play(script, flow)


def test_each_attempt_has_a_time() -> None:
    """One that hangs is cut off, and tried again."""

    async def flow(chat: Chat) -> None:
        await chat.on_end(hang, timeout=timedelta(seconds=5), attempts=2)

    async def script(played: Play) -> None:
        await played.visitor.says("hi")
        await played.given_up()
        await played.stage.wait(timedelta(seconds=20))
        assert len(calls) == 2
        assert [signal.fields["error"] for signal in played.signals if signal.event == "clean_up_failed"] == [
            "TimeoutError"
        ]

    play(script, flow)


async def leaves() -> None:
    """Clean-up that would end the whole process."""
    calls.append(("left",))
    sys.exit("no config")


def leaves_at_once() -> None:
    """The same in a thread."""
    calls.append(("left",))
    raise KeyboardInterrupt


@pytest.mark.parametrize(("function", "error"), [(leaves, "SystemExit"), (leaves_at_once, "KeyboardInterrupt")])
def test_one_that_exits_ends_nothing_else(function: Any, error: str) -> None:
    """Not the process, which would come upon it again with each start."""

    async def flow(chat: Chat) -> None:
        await chat.on_end(function, attempts=2)

    async def script(played: Play) -> None:
        await played.visitor.says("hi")
        await played.given_up()
        await played.closed()
        await played.stage.wait(MINUTE)
        assert len(calls) == 2
        told = [signal.fields["error"] for signal in played.signals if signal.event == "clean_up_failed"]
        assert told == [error]

    play(script, flow)


def test_it_is_given_up_after_an_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many attempts there are."""
    broken[0] = 1000

    async def flow(chat: Chat) -> None:
        await chat.on_end(unlock, attempts=1000)

    async def script(played: Play) -> None:
        await played.visitor.says("hi")
        await played.given_up()
        await played.stage.wait(timedelta(hours=3))
        count = len(calls)
        assert 12 < count < 60
        await played.stage.wait(timedelta(hours=3))
        assert len(calls) == count

    play(script, flow)


@pytest.mark.parametrize("then", ["returns", "asks", "hangs"])
@pytest.mark.parametrize("point", ["store", "stored"])
def test_it_survives_a_death_at_any_save(then: str, point: str) -> None:
    """Once `on_end` has returned, the function is called: before a save, or after it, at least once."""

    def played(number: int) -> tuple[bool, bool]:
        """Does the process die at the save of that number, and had `on_end` returned at any time?"""
        saves: list[int] = []
        registered: list[int] = []

        async def flow(chat: Chat) -> None:
            await chat.on_end(unlock, "door")
            registered.append(1)
            if then == "asks":
                await chat.ask("?")
            elif then == "hangs":
                await asyncio.get_running_loop().create_future()

        async def script(scene: Play) -> None:
            async def hook(process: Process, operation: str) -> None:
                if operation == "save":
                    saves.append(1)
                    if len(saves) == number:
                        scene.replaced(process)

            setattr(scene.stage.interference, point, hook)
            await scene.visitor.says("hi")
            await scene.stage.wait(timedelta(seconds=1))
            await scene.visitor.ends()
            await scene.closed()
            await scene.stage.wait(2 * MINUTE)

        calls.clear()
        play(script, flow)
        return len(saves) >= number, bool(registered)

    number, kept = 1, 0
    while (outcome := played(number))[0]:
        if outcome[1]:
            kept += 1
            assert 1 <= len(calls) <= 2, f"died {point} save {number}"
        number += 1
    assert kept >= 2


def test_what_comes_after_it_waits_until_it_is_stored() -> None:
    """Else a lock could be taken that nobody gives back."""
    seen: list[str] = []

    async def flow(chat: Chat) -> None:
        await chat.on_end(unlock)
        seen.append("locked")
        await chat.ask("?")

    async def script(played: Play) -> None:
        refused: list[int] = []

        async def hook(_: Any, operation: str) -> None:
            # The first save holds the event and the run's beginning, the next one what the flow did.
            if (
                operation == "save"
                and len(refused) < 1
                and any(t.get_name().startswith("flow") for t in asyncio.all_tasks())
            ):
                refused.append(1)
                assert seen == []
                raise Unavailable("no database")

        played.stage.interference.store = hook
        await played.visitor.says("hi")
        await played.visitor.waits_for("?", LONG)
        assert refused
        assert seen == ["locked"]

    play(script, flow)


def test_the_last_registered_is_called_first() -> None:
    """It may rest on what came before it."""

    async def flow(chat: Chat) -> None:
        await chat.on_end(unlock, "house")
        await chat.on_end(Box.close, "box")
        await chat.ask("?")

    async def script(played: Play) -> None:
        await played.visitor.says("hi")
        await played.visitor.waits_for("?")
        assert calls == []
        await played.visitor.ends()
        await played.closed()
        assert calls == [("box",), ("house",)]

    play(script, flow)


@pytest.mark.parametrize(
    ("misuse", "words"),
    [
        (lambda chat: chat.on_end(lambda: None), "can't be found again after a restart"),
        (lambda chat: chat.on_end(partial(unlock, 1)), "can't be found again"),
        (lambda chat: chat.on_end(Box.open), "can't be found again"),
        (lambda chat: chat.on_end("unlock"), "can't be found again"),
        (lambda chat: chat.on_end(unlock, object()), "has no JSON form"),
        (lambda chat: chat.on_end(unlock, float("nan")), "NaN or infinite"),
        (lambda chat: chat.on_end(unlock, deep=[{"down": -float("inf")}]), "NaN or infinite"),
        (lambda chat: chat.on_end(unlock, attempts=0), "attempts must be a whole number, at least 1"),
        (lambda chat: chat.on_end(unlock, attempts=2.5), "attempts must be a whole number"),
        (
            lambda chat: chat.on_end(unlock, timeout=timedelta(0)),
            "the timeout of a clean-up must be positive and at most",
        ),
        (lambda chat: chat.on_end(unlock, timeout=timedelta(hours=1)), "at most 0:05:00"),
        (lambda chat: chat.on_end(unlock, timeout=None), "must be a timedelta, not NoneType"),
    ],
)
def test_what_could_not_be_called_is_refused(misuse: Any, words: str) -> None:
    """When it is registered, and not when it is too late."""
    assert_misuse(misuse, words)


def test_there_are_not_too_many() -> None:
    """Twenty in a run."""

    async def flow(chat: Chat) -> None:
        for number in range(21):
            await chat.on_end(unlock, number)

    async def script(played: Play) -> None:
        await played.visitor.says("hi")
        assert await played.given_up() < 5
        assert "at most 20 clean-up functions" in played.failures[0]
        await played.closed()
        assert calls == [(number,) for number in reversed(range(20))]

    play(script, flow)


def test_a_function_that_is_gone_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The new version of the flow's module does not have it."""

    async def script(played: Play) -> None:
        await played.visitor.says("hi")
        await played.visitor.waits_for("?")
        monkeypatch.delattr(f"{__name__}.unlock")
        await played.visitor.ends()
        await played.stage.wait(MINUTE)
        (failed,) = [signal for signal in played.signals if signal.event == "clean_up_failed"]
        assert failed.fields["error"] == f"no module of FLOWS has a function '{__name__}:unlock'"
        monkeypatch.undo()

    play(script, _asks)


def test_a_process_that_ends_in_good_order_leaves_it_to_the_next() -> None:
    """A clean-up under way is cut off, and begins anew."""

    async def flow(chat: Chat) -> None:
        await chat.on_end(unlock_later, "door")

    async def script(played: Play) -> None:
        await played.visitor.says("hi")
        await played.given_up()
        await played.stage.processes[-1].stop()
        assert calls == []
        await played.stage.start_process()
        await played.stage.wait(MINUTE)
        assert calls == [("door",)]

    play(script, flow, policy=Policy(me=BOT, app_key=True))
