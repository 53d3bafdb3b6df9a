"""Several calls at once: one step, whose results are stored one by one and never made twice."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from flow_samples import MODES, Play, assert_misuse, play
from tiers import some

from bot import CallFailed, Chat
from bot.replay.harness import Process

SECOND = timedelta(seconds=1)


async def _after(seconds: float, word: str) -> str:
    await asyncio.sleep(seconds)
    return word


async def _fails_after(seconds: float, word: str) -> str:
    await asyncio.sleep(seconds)
    raise LookupError(word)


def test_calls_are_made_at_once_and_come_back_in_their_order() -> None:
    """Not in the order in which they are done."""
    times: list[float] = []

    async def flow(chat: Chat) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        made = await chat.gather(chat.call(_after, 3, "a"), chat.call(_after, 1, "b"), chat.call(_after, 2, "c"))
        times.append(loop.time() - began)
        await chat.ask(" ".join(made))

    async def script(played: Play) -> None:
        await played.visitor.says("hi")
        await played.visitor.waits_for("a b c")
        await played.visitor.says("more")
        await played.given_up()
        assert played.failures == []
        assert times == pytest.approx([3, 0])

    play(script, flow)


def test_the_first_failure_of_the_list_is_raised_when_all_are_over() -> None:
    """Whichever came first by time, the first time and out of the journal."""
    heard: list[str] = []
    done: list[str] = []

    async def last() -> str:
        await asyncio.sleep(5)
        done.append("last")
        return "last"

    async def flow(chat: Chat) -> None:
        try:
            await chat.gather(chat.call(_fails_after, 3, "slow"), chat.call(_fails_after, 1, "quick"), chat.call(last))
        except CallFailed as error:
            heard.append(error.message)
        await chat.ask("more?")

    async def script(played: Play) -> None:
        await played.visitor.says("hi")
        await played.visitor.waits_for("more?")
        await played.visitor.says("yes")
        await played.given_up()
        assert heard == ["slow", "slow"]
        assert done == ["last"]

    play(script, flow)


def test_failures_can_come_back_as_results() -> None:
    """So that a flow can undo what has worked beside what has failed."""
    heard: list[list[str]] = []

    async def flow(chat: Chat) -> None:
        made = await chat.gather(
            chat.call(_after, 1, "seat 7"),
            chat.call_with(attempts=2)(_fails_after, 0, "no tea"),
            return_exceptions=True,
        )
        heard.append([f"{one.message} ({one.attempts})" if isinstance(one, CallFailed) else one for one in made])
        await chat.ask("more?")

    async def script(played: Play) -> None:
        await played.visitor.says("hi")
        await played.visitor.waits_for("more?")
        await played.visitor.says("yes")
        await played.given_up()
        assert heard == [["seat 7", "no tea (2)"]] * 2

    play(script, flow)


def _played(mode: str, dies: Callable[[str, int], bool]) -> tuple[list[str], dict[str, int], int]:
    """The transcript, how often each call was made, and the number of saves, if processes die at these saves."""
    saves, calls, transcripts = 0, dict.fromkeys("abcd", 0), []

    async def counted(seconds: float, word: str) -> str:
        await asyncio.sleep(seconds)
        calls[word] += 1
        if word == "d":
            raise LookupError(word)
        return word

    async def flow(chat: Chat) -> None:
        await chat.say("One moment.")
        made = await chat.gather(
            *(chat.call(counted, seconds, word) for word, seconds in zip("abcd", (3, 1, 2, 1.5), strict=True)),
            return_exceptions=True,
        )
        await chat.say(", ".join(one.message if isinstance(one, CallFailed) else one for one in made))
        await chat.ask("Well?")
        await chat.say("Goodbye.")

    async def script(played: Play) -> None:
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
        await played.visitor.says("hi")
        await played.visitor.waits_for("Well?", 600)
        await played.visitor.says("yes")
        await played.visitor.waits_for("Goodbye.", 600)
        await played.given_up()
        transcripts.append(played.transcript)

    play(script, flow, mode=mode)
    return transcripts[0], calls, saves


@pytest.mark.parametrize("mode", some(MODES))
def test_a_death_at_any_save_changes_nothing(mode: str) -> None:
    """Also between two results. A result that is stored is not made again; one that was not may be, once."""
    expected, calls, saves = _played(mode, lambda *_: False)
    assert calls == dict.fromkeys("abcd", 1)
    assert expected[2] == "bot: a, b, c, d"
    for point in ("before", "after"):
        for number in range(1, saves + 1):
            transcript, calls, _ = _played(mode, lambda at, save, wanted=(point, number): (at, save) == wanted)  # type: ignore[misc]
            assert transcript == expected, f"died {point} save {number}"
            again = sum(calls.values()) - len(calls)
            assert again <= (1 if point == "before" else 0), f"died {point} save {number}: {calls}"


def test_a_death_after_every_save_changes_nothing() -> None:
    """Each process stores one result at most."""
    expected, _, _ = _played("release", lambda *_: False)
    transcript, calls, _ = _played("release", lambda at, save: at == "after" and save < 12)
    assert transcript == expected
    assert calls == dict.fromkeys("abcd", 1)


@pytest.mark.parametrize(
    ("misuse", "words"),
    [
        (lambda chat: chat.gather(chat.ask("a?"), chat.say("b")), "chat.gather takes calls"),
        (lambda chat: chat.gather(*[chat.call(_after, 0, "a")] * 2), "takes each call once"),
        (lambda chat: chat.gather(*(chat.call(_after, 0, "a") for _ in range(101))), "101 calls at once are too many"),
        (lambda chat: chat.call_with(backoff=5), "the backoff of a call must be a timedelta"),
        (
            lambda chat: chat.call(_after, backoff=timedelta(hours=1)),
            "the backoff of a call must be at least 0:00:00 and at most 0:05:00",
        ),
    ],
)
def test_what_can_not_be_done_at_once_is_refused(misuse: Any, words: str) -> None:
    """With a sentence that says what can, and no warning of what was not awaited."""
    assert_misuse(misuse, words)
    gc.collect()


def test_another_number_of_calls_does_not_fit_the_journal() -> None:
    """A deploy while the user waits: no call gets another's result."""
    words = ["a", "b"]

    async def flow(chat: Chat) -> None:
        await chat.gather(*(chat.call(_after, 1, word) for word in words))
        await chat.ask("more?")

    async def script(played: Play) -> None:
        await played.visitor.says("hi")
        await played.visitor.waits_for("more?")
        words.append("c")
        await played.visitor.says("yes")
        await played.given_up()
        (failure,) = played.failures
        assert "gather _after, _after, _after, the journal has gather _after, _after" in failure

    play(script, flow)


def test_the_user_who_ends_the_conversation_ends_all_calls() -> None:
    """Nobody waits for them."""
    done: list[str] = []

    async def slow(word: str) -> None:
        await asyncio.sleep(60)
        done.append(word)

    async def flow(chat: Chat) -> None:
        await chat.gather(chat.call(slow, "a"), chat.call(slow, "b"))

    async def script(played: Play) -> None:
        await played.visitor.says("hi")
        await played.stage.wait(SECOND)
        await played.visitor.ends()
        await played.closed()
        assert done == []

    play(script, flow, mode="pass")


@pytest.mark.parametrize(
    ("backoff", "pauses"),
    [(timedelta(seconds=10), [10, 20, 40]), (timedelta(0), [0, 0, 0]), (timedelta(minutes=4), [240, 300, 300])],
)
def test_pauses_grow_from_the_backoff(backoff: timedelta, pauses: list[float]) -> None:
    """Twice as long each time, up to five minutes, less up to a quarter so that not all come back at once."""
    times: list[float] = []

    async def flow(chat: Chat) -> None:
        def flaky() -> None:
            times.append(asyncio.get_event_loop().time())
            raise OSError("not now")

        await chat.call_with(attempts=4, backoff=backoff)(flaky)

    async def script(played: Play) -> None:
        await played.visitor.says("hi")
        await played.given_up()
        waited = [later - earlier for earlier, later in pairwise(times)]
        assert len(waited) == 3
        for pause, most in zip(waited, pauses, strict=True):
            assert 0.74 * most <= pause <= most

    play(script, flow)
