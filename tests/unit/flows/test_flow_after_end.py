"""Nobody can answer in a conversation that the user has ended, so no question keeps it open."""

from __future__ import annotations

import asyncio
import itertools
from datetime import timedelta
from typing import Any

import pytest
from flow_samples import Play, play
from tiers import some

from bot import Chat, NoAnswer, TextField
from bot.control.policy import Policy
from bot.flows.survey import survey
from bot.sandbox.api import ApiRequest
from bot.sandbox.faults import Fault, Moment
from bot.sandbox.switchboard import BOT, WORKSPACE
from bot.sandbox.tour_flows import farewell
from bot.testing.talks import ChatWith

SECOND = timedelta(seconds=1)


async def _asks(chat: Chat) -> None:
    try:
        await chat.ask("How did we do?", choices=["Good", "Bad"])
    except NoAnswer:
        await chat.say("Goodbye.")


async def _asks_with_a_form(chat: Chat) -> None:
    try:
        await chat.form(TextField("why", "Why?"))
    except NoAnswer:
        await chat.say("Goodbye.")


async def _asks_three_times(chat: Chat) -> None:
    for _ in range(3):
        try:
            await chat.ask("How did we do?", fresh=True)
        except NoAnswer:
            continue
    await chat.say("Goodbye.")


async def _thinks_and_asks(chat: Chat) -> None:
    await chat.call(asyncio.sleep, 3)
    await _asks(chat)


async def _naps_and_asks(chat: Chat) -> None:
    await chat.sleep(timedelta(seconds=3))
    await _asks(chat)


CLOSING = [_asks, _asks_with_a_form, _asks_three_times, _thinks_and_asks, _naps_and_asks]
by_closing_flow = pytest.mark.parametrize("flow", CLOSING, ids=lambda flow: flow.__name__.strip("_"))


@by_closing_flow
@pytest.mark.parametrize("restart", [False, True])
async def test_after_an_end_nobody_is_asked(chat_with: ChatWith, flow: Any, *, restart: bool) -> None:
    """`ask` and `form` raise NoAnswer at once and say nothing; what the flow says besides is said."""
    talk = chat_with(closing=flow, mode="pass", after="end", restart_every_turn=restart)
    await talk.wait(seconds=10)
    assert talk.said == ["Goodbye."]
    assert (talk.released, talk.holder) == (True, None)


@by_closing_flow
async def test_after_a_handback_the_user_is_asked(chat_with: ChatWith, flow: Any) -> None:
    """The ticket is closed, and the user is still there."""
    talk = chat_with(closing=flow, mode="pass")
    await talk.wait(seconds=5)
    assert talk.holder == BOT
    assert talk.said != ["Goodbye."]


@by_closing_flow
async def test_the_user_ends_while_the_closing_flow_asks(chat_with: ChatWith, flow: Any) -> None:
    """Its question ends there and then. The release comes within seconds, and not with the timeout."""
    talk = chat_with(closing=flow, mode="pass")
    await talk.wait(seconds=5)
    await talk.end()
    await talk.wait(seconds=3)
    assert (talk.released, talk.holder) == (True, None)


@pytest.mark.parametrize("order", ["message_first", "control_first"])
@pytest.mark.parametrize("message", ["activity", "subtype_only", "lost"])
@pytest.mark.parametrize("reason", [None, "ticketClosed", "endedByUser"])
def test_an_end_that_hands_control_back(order: str, message: str, reason: str | None) -> None:
    """The pass may come before the end is told, or without it: then a read tells, and the question is over."""

    async def opening(chat: Chat) -> None:
        await chat.hand_over()

    async def script(played: Play) -> None:
        await played.visitor.says("hi")
        await played.given_up()
        assert played.holder == WORKSPACE
        await played.stage.wait(5 * SECOND)
        await played.visitor.ends()
        await played.stage.wait(5 * SECOND)
        await played.closed(SECOND)

    play(script, opening, _asks, mode="pass", end_order=order, end_message=message, end_reason=reason)


def test_a_question_that_has_not_gone_out_is_taken_back() -> None:
    """The end comes while the API refuses the question for a while: it is not sent any more."""

    async def opening(chat: Chat) -> None:
        await chat.hand_over()

    def no_posts(request: ApiRequest, moment: Moment) -> Fault | None:
        is_post = request.method == "POST" and request.path.endswith("/messages")
        return Fault(status=429) if is_post and moment is Moment.BEFORE else None

    async def script(played: Play) -> None:
        await played.visitor.says("hi")
        agent = played.stage.sandbox.agent()
        await agent.waits_for_ticket(played.visitor)
        await played.stage.wait(SECOND)
        played.stage.sandbox.server.faults = no_posts
        await agent.solves()
        await agent.closes()
        await played.stage.wait(3 * SECOND)
        assert played.holder == BOT
        await played.visitor.ends()
        played.stage.sandbox.server.faults = None
        await played.stage.wait(5 * SECOND)
        await played.closed(SECOND)
        assert "How did we do?" not in played.bots

    play(script, opening, survey.function, mode="pass")  # type: ignore[arg-type]


SWITCHES = {
    "end_while_bot_active_in_pass": ("stays", "next", "released"),
    "end_order": ("message_first", "control_first"),
    "end_message": ("activity", "subtype_only"),
    "end_control_event": ("sent", "lost"),
    "end_reason": (None, "ticketClosed"),
}


@pytest.mark.parametrize("closing", [survey, farewell], ids=["survey", "farewell"])
@pytest.mark.parametrize("held_by", ["the bot", "an agent"])
@pytest.mark.parametrize("positions", some(itertools.product(*SWITCHES.values()), every=5), ids=str)
def test_the_bundled_closing_flows_keep_no_ended_conversation_open(
    positions: tuple[Any, ...], held_by: str, closing: Any
) -> None:
    """Proven closed within RELEASE_GRACE and five seconds, whatever the platform does at the end."""
    policy = Policy(me=BOT, app_key=True)

    async def opening(chat: Chat) -> None:
        if held_by == "an agent":
            await chat.hand_over()
        await chat.ask("?")

    async def script(played: Play) -> None:
        await played.visitor.says("hi")
        await played.stage.wait(5 * SECOND)
        await played.visitor.ends()
        await played.stage.wait(policy.grace + 5 * SECOND)
        state = await played.stage.state(played.visitor.conversation_id)
        assert state is not None
        assert state.closed
        assert not played.stage.sandbox.switchboard.is_open(played.visitor.conversation_id)

    play(script, opening, closing.function, mode="pass", policy=policy, **dict(zip(SWITCHES, positions, strict=True)))
