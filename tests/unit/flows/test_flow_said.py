"""What a flow has said is said, however the flow ends by itself; only what stops it from outside drops messages."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from flow_samples import MODES, Play, play

from bot import Chat
from bot.sandbox.api import ApiRequest
from bot.sandbox.faults import Fault, Faults, Moment

PROMISE = ["Let me look.", "One moment."]


async def _raises(chat: Chat) -> None:
    await _promises(chat)
    raise LookupError("no such order")


async def _raises_later(chat: Chat) -> None:
    await _promises(chat)
    await chat.call(asyncio.sleep, 5)
    raise LookupError("no such order")


async def _is_misused(chat: Chat) -> None:
    await _promises(chat)
    await chat.say("")


async def _fails_in_a_call(chat: Chat) -> None:
    await _promises(chat)
    await chat.call(int, "not a number")


async def _exits(chat: Chat) -> None:
    await _promises(chat)
    raise SystemExit


async def _cancels_itself(chat: Chat) -> None:
    await _promises(chat)
    raise asyncio.CancelledError


async def _promises(chat: Chat) -> None:
    for line in PROMISE:
        await chat.say(line)


FAILING = [_raises, _raises_later, _is_misused, _fails_in_a_call, _exits, _cancels_itself]
_ids = [flow.__name__.strip("_") for flow in FAILING]


def _slow_posts(seconds: float) -> Faults:
    def faults(request: ApiRequest, moment: Moment) -> Fault | None:
        is_post = request.method == "POST" and request.path.endswith("/messages")
        return Fault(delay=seconds) if is_post and moment is Moment.BEFORE else None

    return faults


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("flow", FAILING, ids=_ids)
def test_a_flow_that_fails_has_said_what_it_said(flow: Any, mode: str) -> None:
    """In its order, once, and before control is given up; although each message takes two seconds to go out."""

    async def script(played: Play) -> None:
        played.stage.sandbox.server.faults = _slow_posts(2)
        await played.visitor.says("hi")
        await played.given_up(30)
        assert played.bots == PROMISE
        assert len(played.failures) == 1

    play(script, flow, mode=mode)


@pytest.mark.parametrize("flow", [_raises, _is_misused], ids=["raises", "is_misused"])
def test_a_closing_flow_that_fails_after_the_end(flow: Any) -> None:
    """The closing flow may speak after the end, and what it says before it fails goes out too."""

    async def opening(chat: Chat) -> None:
        await chat.ask("?")

    async def script(played: Play) -> None:
        await played.visitor.says("hi")
        await played.visitor.waits_for("?")
        await played.visitor.ends()
        await played.closed()
        assert played.bots == ["?", *PROMISE]

    play(script, opening, flow, mode="pass")


@pytest.mark.parametrize("mode", MODES)
def test_the_process_dies_once_the_failure_is_stored(mode: str) -> None:
    """Another one says what was said, once."""

    async def script(played: Play) -> None:
        played.stage.sandbox.server.faults = _slow_posts(2)
        await played.visitor.says("hi")
        await played.stage.wait(timedelta(seconds=1))
        assert played.failures
        assert played.bots == []
        played.stage.alive[0].kill()
        await played.stage.start_process()
        await played.given_up()
        assert played.bots == PROMISE

    play(script, _raises, mode=mode)


@pytest.mark.parametrize("mode", MODES)
def test_messages_of_a_failed_flow_that_hang_do_not_keep_control_for_long(mode: str) -> None:
    """Given up after a minute, as those of a complete flow are."""

    async def script(played: Play) -> None:
        played.stage.sandbox.server.faults = _slow_posts(100)
        await played.visitor.says("hi")
        assert 60 < await played.given_up() < 120

    play(script, _raises, mode=mode)


@pytest.mark.parametrize("mode", MODES)
def test_an_end_drops_what_a_failed_flow_has_not_said_yet(mode: str) -> None:
    """Nobody reads it any more."""

    async def script(played: Play) -> None:
        played.stage.sandbox.server.faults = _slow_posts(2)
        await played.visitor.says("hi")
        await played.stage.wait(timedelta(seconds=1))
        await played.visitor.ends()
        await played.closed()
        assert len(played.bots) <= 1, "what was under way already could not be taken back"

    play(script, _raises, mode=mode)


@pytest.mark.parametrize("mode", MODES)
def test_a_timeout_drops_what_has_not_gone_out(mode: str) -> None:
    """A flow that hangs is stopped from outside; nothing of it comes after that."""

    async def hangs(chat: Chat) -> None:
        await chat.call(asyncio.sleep, 14 * 60 + 59)
        await _promises(chat)
        await asyncio.Event().wait()

    async def script(played: Play) -> None:
        played.stage.sandbox.server.faults = _slow_posts(5)
        await played.visitor.says("hi")
        await played.given_up()
        await played.stage.wait(timedelta(minutes=1))
        assert len(played.bots) <= 1

    play(script, hangs, mode=mode)
