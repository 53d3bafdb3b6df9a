"""The typing sign: it appears by itself in a slow turn, nothing waits for it, and it never outlives the bot's turn."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from flow_samples import MODES, Play, play

from bot import Chat
from bot.sandbox.api import ApiRequest
from bot.sandbox.faults import Fault, Moment
from bot.sandbox.records import Caller
from bot.sandbox.switchboard import WORKSPACE

TYPING, POST, RELEASE = "PostActivity", "PostMessage", "ReleaseControl"


def _watch(played: Play, faulty: dict[str, Fault] | None = None) -> list[tuple[float, str]]:
    """When which operation was called."""
    calls: list[tuple[float, str]] = []

    def faults(request: ApiRequest, moment: Moment) -> Fault | None:
        if moment is Moment.BEFORE:
            calls.append((round(played.stage.loop.time(), 3), request.operation))
            return (faulty or {}).get(request.operation)
        return None

    played.stage.sandbox.server.faults = faults
    return calls


def _times(calls: list[tuple[float, str]], operation: str) -> list[float]:
    return [at for at, name in calls if name == operation]


@pytest.mark.parametrize(("seconds", "shown"), [(0.3, []), (0.7, [0.5]), (30.0, [0.5])])
def test_it_appears_when_a_turn_takes_longer_than_half_a_second(seconds: float, shown: list[float]) -> None:
    """Once."""

    async def flow(chat: Chat) -> None:
        await chat.call(asyncio.sleep, seconds)
        await chat.ask("?")

    async def script(played: Play) -> None:
        calls = _watch(played)
        await played.visitor.says("hi")
        await played.visitor.waits_for("?", 60)
        await played.stage.wait(timedelta(minutes=1))
        assert _times(calls, TYPING) == shown

    play(script, flow)


def test_it_appears_again_after_a_message() -> None:
    """Which has taken it away."""

    async def flow(chat: Chat) -> None:
        for number in range(3):
            await chat.call(asyncio.sleep, 2)
            await chat.say(f"{number}")
        await chat.release()

    async def script(played: Play) -> None:
        calls = _watch(played)
        await played.visitor.says("hi")
        await played.given_up()
        assert _times(calls, TYPING) == [0.5, 2.5, 4.5]

    play(script, flow)


def test_a_flow_that_waits_does_not_type() -> None:
    """Neither for the user nor for a time."""

    async def flow(chat: Chat) -> None:
        await chat.sleep(timedelta(seconds=30))
        await chat.ask("?")

    async def script(played: Play) -> None:
        calls = _watch(played)
        await played.visitor.says("hi")
        await played.stage.wait(timedelta(minutes=5))
        assert _times(calls, TYPING) == []

    play(script, flow)


@pytest.mark.parametrize("fault", [Fault(delay=20), Fault(status=503), Fault(refuse=True), Fault(status=403)])
@pytest.mark.parametrize("mode", MODES)
def test_nothing_waits_for_it(fault: Fault, mode: str) -> None:
    """Neither a message nor the release; what becomes of it does not matter."""

    async def flow(chat: Chat) -> None:
        await chat.call(asyncio.sleep, 1)
        await chat.say("done")

    async def script(played: Play) -> None:
        calls = _watch(played, {TYPING: fault})
        await played.visitor.says("hi")
        assert await played.given_up() < 1.5
        assert _times(calls, TYPING) == [0.5]
        assert _times(calls, POST) == [1.0]
        assert played.failures == []

    play(script, flow, mode=mode)


@pytest.mark.parametrize("how", ["end", "loss", "agent"])
def test_it_is_not_shown_once_the_bot_may_not_speak(how: str) -> None:
    """However control was lost."""

    async def flow(chat: Chat) -> None:
        await chat.call(asyncio.sleep, 100)

    async def script(played: Play) -> None:
        calls = _watch(played)
        board, now = played.stage.sandbox.switchboard, played.stage.clock.now
        await played.visitor.says("hi")
        await played.stage.wait(timedelta(seconds=0.4))
        match how:
            case "end":
                await played.visitor.ends()
            case "loss":
                board.pass_control(played.visitor.conversation_id, Caller("desk", "app"), WORKSPACE, now())
            case _:
                board.agent_says(played.visitor.conversation_id, "mine", now=now())
        await played.stage.wait(timedelta(minutes=5))
        assert _times(calls, TYPING) == []

    play(script, flow)


def test_nothing_of_it_is_stored() -> None:
    """It is worth nothing once it is late."""

    async def flow(chat: Chat) -> None:
        await chat.call(asyncio.sleep, 3)

    async def script(played: Play) -> None:
        calls = _watch(played)
        await played.visitor.says("hi")
        await played.stage.wait(timedelta(seconds=2))
        assert _times(calls, TYPING)
        connection = played.stage.store._shared
        assert connection is not None
        assert connection.execute("SELECT count(*) FROM outbox").fetchone() == (0,)

    play(script, flow)
