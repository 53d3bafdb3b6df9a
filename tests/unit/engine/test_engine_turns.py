"""Turns and messages: their order, what is dropped, what is repeated, and what ends a flow."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from engine_samples import (
    LIST,
    LONG,
    MODES,
    PASS,
    POST,
    QUICK,
    READ,
    RELEASE,
    Scene,
    act,
    lasts,
    whole_conversation,
)
from tiers import some

from bot import Chat
from bot.control.policy import Policy
from bot.sandbox.faults import Fault, Moment
from bot.sandbox.history import Kind
from bot.sandbox.records import Caller
from bot.sandbox.switchboard import BOT, WORKSPACE

BEFORE, AFTER = Moment.BEFORE, Moment.AFTER
PATIENT = Policy(me=BOT, app_key=True)


async def _counts_to_nine(chat: Chat) -> None:
    for number in range(10):
        await chat.say(f"line {number}")
    await chat.ask("well?")


async def _counts_and_returns(chat: Chat) -> None:
    for number in range(10):
        await chat.say(f"line {number}")


@pytest.mark.parametrize("batch", [1, 10])
def test_messages_arrive_in_the_order_in_which_they_were_said(batch: int) -> None:
    """Also where some of them fail first, and each in its own way."""

    async def script(scene: Scene) -> None:
        troubles: dict[int, Fault] = {
            2: Fault(status=503),
            4: Fault(reset=True),
            6: Fault(status=429),
            8: Fault(refuse=True),
        }
        scene.faulty = lambda op, when, count: troubles.get(count) if (op, when) == (POST, BEFORE) else None
        await scene.visitor.says("hi")
        await scene.visitor.waits_for("well?", LONG)
        assert scene.bots() == [*(f"line {number}" for number in range(10)), "well?"]

    act(script, _counts_to_nine, batch=batch)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("flow", [_counts_to_nine, _counts_and_returns])
def test_what_has_not_been_sent_when_the_user_ends_is_dropped(flow: Any, mode: str) -> None:
    """The one that is on its way can't be held back; the others can."""

    async def script(scene: Scene) -> None:
        scene.faulty = lambda op, when, _: Fault(delay=1) if (op, when) == (POST, AFTER) else None
        await scene.visitor.says("hi")
        await scene.visitor.waits_for("line 2")
        await scene.visitor.ends()
        await scene.closed()
        assert [text for text in scene.bots() if text.startswith("line")] == ["line 0", "line 1", "line 2"]

    act(script, flow, mode=mode)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("flow", [_counts_to_nine, _counts_and_returns])
def test_what_has_not_been_sent_when_control_is_lost_is_dropped(flow: Any, mode: str) -> None:
    """Somebody else is active, and the bot is silent."""

    async def script(scene: Scene) -> None:
        scene.faulty = lambda op, when, _: Fault(delay=1) if (op, when) == (POST, AFTER) else None
        await scene.visitor.says("hi")
        await scene.visitor.waits_for("line 2")
        board = scene.stage.sandbox.switchboard
        board.pass_control(scene.visitor.conversation_id, Caller("somebody", "app"), WORKSPACE, scene.now)
        await scene.stage.wait(timedelta(minutes=10))
        assert scene.bots() == ["line 0", "line 1", "line 2"]
        assert scene.holder() == WORKSPACE
        assert not {RELEASE, PASS} & set(scene.operations)

    act(script, flow, mode=mode)


@pytest.mark.parametrize("how", ["ends", "passed on"])
def test_a_turn_is_cancelled_at_once(how: str) -> None:
    """In the same moment of virtual time, in the middle of a slow call, and with what it does about it."""
    cancelled: list[float] = []

    async def flow(chat: Chat) -> None:
        async def slow() -> None:
            try:
                await asyncio.sleep(1000)
            finally:
                cancelled.append(asyncio.get_running_loop().time())

        await chat.call(slow)

    async def script(scene: Scene) -> None:
        await scene.visitor.says("hi")
        await scene.stage.wait(timedelta(seconds=7))
        assert cancelled == []
        if how == "ends":
            await scene.visitor.ends()
        else:
            board = scene.stage.sandbox.switchboard
            board.pass_control(scene.visitor.conversation_id, Caller("somebody", "app"), WORKSPACE, scene.now)
        moment = scene.stage.loop.time()
        await scene.stage.wait(timedelta(seconds=0.001))
        assert cancelled == [moment]

    act(script, flow)


def test_an_agent_who_writes_gets_control() -> None:
    """The flow stops in the middle, and what it had to say is dropped."""

    async def script(scene: Scene) -> None:
        scene.faulty = lambda op, when, _: Fault(delay=1) if (op, when) == (POST, AFTER) else None
        await scene.visitor.says("hi")
        await scene.visitor.waits_for("line 2")
        board = scene.stage.sandbox.switchboard
        board.pass_control(scene.visitor.conversation_id, Caller("somebody", "app"), WORKSPACE, scene.now)
        board.pass_control(scene.visitor.conversation_id, Caller("somebody", "app"), BOT, scene.now)
        board.agent_says(scene.visitor.conversation_id, "I am here.", scene.now)
        await scene.given_up()
        assert scene.holder() == WORKSPACE

    act(script, _counts_to_nine)


AMBIGUOUS = {
    "reset": Fault(reset=True),
    "500": Fault(status=500),
    "503": Fault(status=503, retry_after="1"),
    "502": Fault(status=502),
    "time-out": Fault(delay=100),
}


@pytest.mark.parametrize("fault", AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_a_message_that_may_have_been_sent_is_looked_for_and_not_doubled(fault: Fault) -> None:
    """The fault hides a success."""

    async def script(scene: Scene) -> None:
        scene.faulty = lambda op, when, count: fault if (op, when, count) == (POST, AFTER, 1) else None
        await whole_conversation(scene)
        assert scene.operations[:3] == [POST, LIST, POST]

    act(script)


@pytest.mark.parametrize("fault", AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_a_message_that_was_not_sent_is_sent_again(fault: Fault) -> None:
    """The same faults, but nothing happened: it is looked for, not found, and repeated."""

    async def script(scene: Scene) -> None:
        scene.faulty = lambda op, when, count: fault if (op, when, count) == (POST, BEFORE, 1) else None
        await whole_conversation(scene)
        assert "Welcome." in scene.bots()

    act(script)


@pytest.mark.parametrize("fault", [Fault(refuse=True), Fault(status=429)])
def test_a_message_that_was_certainly_not_sent_is_repeated_without_a_look(fault: Fault) -> None:
    """No connection, or 429."""

    async def script(scene: Scene) -> None:
        scene.faulty = lambda op, when, count: fault if (op, when, count) == (POST, BEFORE, 1) else None
        await whole_conversation(scene)
        assert scene.operations[:2] == [POST, POST]

    act(script)


def test_the_look_for_a_message_may_fail_too() -> None:
    """It is looked for again, and not said before it is known."""

    async def script(scene: Scene) -> None:
        def strike(op: str, when: Moment, count: int) -> Fault | None:
            if (op, when, count) == (POST, AFTER, 1) or (op == LIST and count <= 3):
                return Fault(status=503)
            return None

        scene.faulty = strike
        await whole_conversation(scene)
        assert scene.operations[:6] == [POST, LIST, LIST, LIST, LIST, POST]

    act(script)


def test_a_message_is_found_among_many() -> None:
    """On an older page, while a lot is said."""

    async def script(scene: Scene) -> None:
        def strike(op: str, when: Moment, count: int) -> Fault | None:
            if (op, when, count) == (POST, AFTER, 1):
                for number in range(250):
                    scene.stage.sandbox.switchboard.user_says(
                        scene.visitor.conversation_id, f"and {number}", now=scene.now
                    )
                return Fault(reset=True)
            return None

        scene.faulty = strike
        await scene.visitor.says("hi")
        await scene.visitor.waits_for("name?", LONG)
        assert scene.bots() == ["Welcome.", "Your name?"]
        assert scene.operations[:4] == [POST, LIST, LIST, LIST]

    act(script)


@pytest.mark.parametrize("operation", [POST, RELEASE])
def test_retry_after_is_honoured(operation: str) -> None:
    """Not a second earlier than the platform asks for."""

    async def script(scene: Scene) -> None:
        scene.faulty = lambda op, when, count: (
            Fault(status=429, retry_after="37") if (op, when, count) == (operation, BEFORE, 1) else None
        )
        await scene.visitor.says("hi")
        await scene.given_up()
        first, second = scene.times(operation)[:2]
        assert 37 <= second - first < 40

    async def flow(chat: Chat) -> None:
        await chat.say("bye")

    act(script, flow)


@pytest.mark.parametrize("status", [400, 403, 404, 413, 422, 423])
@pytest.mark.parametrize("mode", MODES)
def test_a_message_that_is_refused_ends_the_flow_as_failed(status: int, mode: str) -> None:
    """Nothing more is said, and control is given up at once."""

    async def script(scene: Scene) -> None:
        scene.faulty = lambda op, when, count: Fault(status=status) if (op, when, count) == (POST, BEFORE, 2) else None
        await scene.visitor.says("hi")
        began = scene.stage.loop.time()
        await scene.given_up()
        assert scene.stage.loop.time() - began < 5
        assert scene.bots() == ["line 0"]
        assert scene.holder() == (None if mode == "release" else WORKSPACE)
        assert scene.events("flow_failed", "message_given_up")

    act(script, _counts_to_nine, mode=mode)


def test_a_refused_message_of_a_flow_that_is_over_takes_the_rest_with_it() -> None:
    """The flow has returned already; what it still had to say after that is not said."""

    async def flow(chat: Chat) -> None:
        for number in range(5):
            await chat.say(f"line {number}")

    async def script(scene: Scene) -> None:
        scene.faulty = lambda op, when, count: Fault(status=400) if (op, when, count) == (POST, BEFORE, 3) else None
        await scene.visitor.says("hi")
        await scene.given_up()
        assert scene.bots() == ["line 0", "line 1"]
        assert [signal.event for signal in scene.troubles] == ["message_given_up"]

    act(script, flow)


@pytest.mark.parametrize("mode", MODES)
def test_messages_that_hang_do_not_keep_control_for_long(mode: str) -> None:
    """A release waits behind ten messages, none of which can be posted."""

    async def flow(chat: Chat) -> None:
        for number in range(10):
            await chat.say(f"line {number}")

    async def script(scene: Scene) -> None:
        scene.faulty = lambda op, _, __: Fault(delay=100) if op == POST else None
        await scene.visitor.says("hi")
        began = scene.stage.loop.time()
        await scene.given_up()
        assert scene.stage.loop.time() - began < 120

    act(script, flow, mode=mode)


def test_a_wrong_key_is_waited_for_and_mended() -> None:
    """401 is the operator's to mend: messages wait for five minutes, releases for ever."""

    async def script(scene: Scene) -> None:
        scene.faulty = lambda _, when, __: (
            Fault(status=401) if when is BEFORE and scene.stage.loop.time() < 120 else None
        )
        await scene.visitor.says("hi")
        await scene.visitor.waits_for("name?", LONG)
        await scene.visitor.ends()
        await scene.closed()
        assert scene.bots() == ["Welcome.", "Your name?"]

    act(script, policy=PATIENT)


@pytest.mark.parametrize("mode", some(MODES))
@pytest.mark.parametrize(
    "fault", some([Fault(status=503), Fault(refuse=True), Fault(delay=1000)]), ids=["503", "refuse", "hang"]
)
def test_an_outage_of_ten_minutes_only_delays(fault: Fault, mode: str) -> None:
    """Conversations that end, are complete, or stay silent during it: all close after it."""

    async def script(scene: Scene) -> None:
        visitors = [scene.stage.sandbox.visitor() for _ in range(9)]
        for visitor in visitors:
            await visitor.says("hi")
        for visitor in visitors:
            await visitor.waits_for("name?", LONG)
        began = scene.stage.loop.time()
        scene.faulty = lambda _, __, ___: fault if scene.stage.loop.time() < began + 600 else None
        for number, visitor in enumerate(visitors):
            if number % 3 == 0:
                await visitor.ends()
            elif number % 3 == 1:
                await visitor.taps("Ada")
        await scene.stage.wait(timedelta(minutes=10))
        for number, visitor in enumerate(visitors):
            if number % 3:
                await visitor.ends()
        await scene.closed()

    act(script, mode=mode)


@pytest.mark.parametrize("mode", some(reversed(MODES)))
@pytest.mark.parametrize("moment", list(Moment))
@pytest.mark.parametrize("operation", [RELEASE, PASS, READ])
def test_any_fault_of_a_control_action_is_overcome(operation: str, moment: Moment, mode: str) -> None:
    """Also one that hides a success: closed with proof, and whoever got control keeps it."""
    for fault in [*AMBIGUOUS.values(), Fault(status=429, retry_after="5"), Fault(refuse=True), Fault(status=400)]:

        async def script(scene: Scene, fault: Fault = fault) -> None:
            scene.faulty = lambda op, when, count: fault if (op, when) == (operation, moment) and count <= 2 else None
            await whole_conversation(scene)

        act(script, mode=mode)


def test_a_repeated_delivery_has_no_effect() -> None:
    """Each webhook comes three times, and late."""

    async def script(scene: Scene) -> None:
        post = scene.stage._post
        again: list[asyncio.Task[None]] = []

        async def thrice(url: str, headers: Any, body: bytes) -> int:
            async def later(seconds: float) -> None:
                await asyncio.sleep(seconds)
                await post(url, headers, body)

            again.extend(asyncio.get_running_loop().create_task(later(seconds)) for seconds in (1.5, 30.0))
            return await post(url, headers, body)

        scene.stage.sandbox.sender._post = thrice
        await whole_conversation(scene)
        await scene.stage.wait(timedelta(minutes=1))
        await scene.closed()
        assert len(scene.bots()) == len(set(scene.bots()))

    act(script, mode="pass")


def test_slow_functions_of_many_flows_run_side_by_side() -> None:
    """Fifty flows that each wait for a minute need a minute."""

    async def flow(chat: Chat) -> None:
        await chat.call(lasts, 60.0)
        await chat.say("done")

    async def script(scene: Scene) -> None:
        for _ in range(50):
            await scene.stage.sandbox.visitor().says("hi")
        await scene.stage.wait(timedelta(seconds=62))
        said = [entry for entry in scene.stage.sandbox.switchboard.history if entry.text == "done"]
        assert len(said) == 50

    act(script, flow)


def test_a_flow_without_an_end_of_its_own_ends_at_the_deadline_although_the_user_keeps_talking() -> None:
    """A hung turn gets no more time by what the user says to it."""

    async def flow(chat: Chat) -> None:
        await chat.call(lasts, LONG)

    async def script(scene: Scene) -> None:
        await scene.visitor.says("hi")
        for _ in range(20):
            await scene.stage.wait(timedelta(seconds=10))
            if scene.holder() != BOT:
                break
            await scene.visitor.says("hello?")
        moved = scene.stage.sandbox.switchboard.history.of(scene.visitor.conversation_id, Kind.HOLDER)[-1]
        created = scene.stage.sandbox.switchboard.history.of(scene.visitor.conversation_id, Kind.CREATED)[0]
        assert (moved.at - created.at).total_seconds() < QUICK.idle.total_seconds() + 5

    act(script, flow)


def test_while_the_bot_is_in_doubt_it_says_nothing_and_does_not_spin() -> None:
    """A control event without a date asks for a read; while that can't be had, messages wait for it, at rest."""

    async def script(scene: Scene) -> None:
        claims = 0

        async def hook(_: Any, operation: str) -> None:
            nonlocal claims
            claims += operation == "claim"
            assert claims < 200

        def strike(op: str, when: Moment, _: int) -> Fault | None:
            if (op, when) == (POST, AFTER):
                return Fault(delay=1)
            return Fault(status=503) if op in (READ, LIST) and scene.stage.loop.time() < 60 else None

        scene.stage.interference.store = hook
        scene.faulty = strike
        await scene.visitor.says("hi")
        await scene.visitor.waits_for("line 2")
        board = scene.stage.sandbox.switchboard
        board.pass_control(scene.visitor.conversation_id, Caller("somebody", "app"), WORKSPACE, scene.now)
        board.pass_control(scene.visitor.conversation_id, Caller("somebody", "app"), BOT, scene.now)
        await scene.stage.wait(timedelta(seconds=50))
        assert len(scene.bots()) == 3
        await scene.visitor.waits_for("well?", LONG)
        await scene.visitor.ends()
        await scene.closed()

    act(script, _counts_to_nine, created_at_present=False)
