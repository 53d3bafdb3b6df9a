"""Poison and overload: what can't be done is set aside or put off, and holds up nothing else; what is overdue shows.

In virtual time. EVENTS=100000 makes the queue as long as it may ever get; the figures are in the log:

    EVENTS=100000 pytest tests/simulation/test_overload.py -k queue --log-cli-level=INFO
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import timedelta
from typing import Any, Literal, TypeVar

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tiers import some

from bot import Chat, Flow, NoAnswer
from bot.control.modes import PassControl, mode_named
from bot.control.policy import Policy
from bot.engine.delivery import EFFECT_KEY
from bot.flows.catalogue import Catalogue
from bot.observability import Metrics
from bot.replay.harness import Stage
from bot.replay.virtual_time import VirtualTimeLoop, run_virtual
from bot.sandbox.api import ApiRequest
from bot.sandbox.faults import Fault, Moment
from bot.sandbox.history import Cause, Kind
from bot.sandbox.records import Caller
from bot.sandbox.scripted_people import Visitor
from bot.sandbox.switchboard import BOT, WORKSPACE
from bot.sandbox.switches import Switches
from bot.signals import Level, Signal
from webhooks.inbox import NewEvent

T = TypeVar("T")
ModeName = Literal["release", "pass"]
MODES: tuple[ModeName, ...] = ("release", "pass")
EVENTS = int(os.environ.get("EVENTS", "6000"))
FELL_BACK_WITHIN = 8  # seconds: in pass mode, the release instead of the pass is a duty of its own
A_QUEUE_IN = 64 * 2**20  # bytes
ELSEWHERE = Caller("another system", "app")
HOUR = timedelta(hours=1)
QUICK = Policy(
    me=BOT, app_key=True, grace=timedelta(seconds=5), idle=timedelta(minutes=2), closing=timedelta(seconds=40)
)

_log = logging.getLogger(__name__)


async def greets(chat: Chat) -> None:
    """Says something, and waits for an answer; fails where it is told to."""
    if chat.opening.text == "raise":
        raise RuntimeError("as always")
    if chat.opening.text == "work":
        await chat.call(asyncio.sleep, 60)
    await chat.say(f"You said {chat.opening.text}.")
    try:
        answer = await chat.ask("What else?")
    except NoAnswer:
        return
    await chat.say(f"You also said {answer.text}.")


class World:
    """A platform and a bot.

    Attributes:
        signals: all that the bot tells.
        metrics: what is counted of it.
    """

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.signals: list[Signal] = []
        self.metrics = Metrics()
        stage.observe = self._observe

    def _observe(self, signal: Signal) -> None:
        self.signals.append(signal)
        self.metrics.on_signal(signal)

    def told(self, event: str) -> list[Signal]:
        """The signals of a name."""
        return [signal for signal in self.signals if signal.event == event]

    async def shown(self) -> dict[str, float]:
        """The metrics page at this moment: what has no label, by name."""
        page = self.metrics.show(await self.stage.store.counts(self.stage.clock.now())).decode()
        families = text_string_to_metric_families(page)
        return {sample.name: sample.value for family in families for sample in family.samples if not sample.labels}

    async def is_served(self, name: str) -> Visitor:
        """Somebody new comes, is greeted within seconds, and ends."""
        visitor = self.stage.sandbox.visitor(name)
        await visitor.says("hello")
        await visitor.waits_for("You said hello.", 5)
        await visitor.ends()
        return visitor

    async def all_closed(self, within: timedelta = HOUR) -> None:
        """Wait until the bot is at rest; then every ended conversation is closed, with proof."""
        assert await self.stage.quiet(within)
        for conversation_id in self.stage.ended():
            state = await self.stage.state(conversation_id)
            assert not self.stage.sandbox.switchboard.is_open(conversation_id)
            assert state is not None
            assert state.closed


def play(
    script: Callable[[World], Coroutine[Any, Any, T]],
    *,
    mode: ModeName = "release",
    policy: Policy | None = None,
    closing: bool = False,
    **switches: Any,
) -> T:
    """Play a script in virtual time. `policy` replaces the one that fits the platform, with its own control mode."""
    flows = {"greets": Flow("greets", greets), "closes": Flow("closes", greets)}
    catalogue = Catalogue(flows, "greets", "closes" if closing else "")
    fitting = replace(QUICK, closes=closing)

    async def whole(loop: VirtualTimeLoop) -> T:
        positions = Switches(mode=mode, **switches)
        async with Stage(
            loop, switches=positions, catalogue=catalogue, policy=policy or fitting, keep_mode=policy is not None
        ) as stage:
            return await script(World(stage))

    return run_virtual(whole)


class TestPoison:
    """What can't be done is set aside, given up or put off, and everybody else is served meanwhile."""

    @pytest.mark.parametrize("mode", some(MODES))
    def test_events_that_cant_be_understood(self, mode: ModeName) -> None:
        """A hundred in one delivery with one that can: that one is served, the others are counted."""

        async def script(world: World) -> None:
            process = await world.stage.start_process()
            victim = world.stage.sandbox.visitor("Victim")
            await victim.opens()
            poison = [
                {
                    "id": f"poison-{number}",
                    "type": "conversation:message",
                    "payload": {"conversation": {"id": victim.conversation_id}, "message": number},
                }
                for number in range(100)
            ]
            envelope = {"app": {"id": "a"}, "webhook": {"id": "w", "version": "v2"}, "events": poison}
            headers = {"X-API-Key": world.stage.sandbox.secret}
            assert await process.post(headers, json.dumps(envelope).encode()) == 200
            await victim.says("hello")
            await victim.waits_for("You said hello.", 5)
            await world.is_served("Other")
            await victim.ends()
            await world.all_closed()
            shown = await world.shown()
            assert (shown["switchboard_events_set_aside"], shown["switchboard_inbox_events"]) == (100, 0)
            assert len(world.told("event_set_aside")) == 100

        play(script, mode=mode)

    @pytest.mark.parametrize("mode", some(MODES))
    def test_a_flow_that_always_raises(self, mode: ModeName) -> None:
        """Control is given up each time the user tries again, and never in a loop of its own."""

        async def script(world: World) -> None:
            await world.stage.start_process()
            victim = world.stage.sandbox.visitor("Victim")
            for _ in range(10):
                await victim.says("raise")
                await world.stage.wait(timedelta(seconds=30))
                assert world.stage.sandbox.switchboard.holder(victim.conversation_id) != BOT
            await world.is_served("Other")
            await victim.ends()
            await world.all_closed()
            failed = len(world.told("flow_failed"))
            assert failed == (10 if mode == "release" else 1)  # in pass mode the agents have it from then on
            releases = [
                entry
                for entry in world.stage.sandbox.switchboard.history.of(victim.conversation_id, Kind.HOLDER)
                if entry.cause in (Cause.RELEASE, Cause.PASS)
            ]
            assert len(releases) <= failed + 1

        play(script, mode=mode)

    @pytest.mark.parametrize("mode", some(MODES))
    def test_a_conversation_that_is_full(self, mode: ModeName) -> None:
        """423: the flow is over, since nothing more can be said; control is given up, also after the end."""

        async def script(world: World) -> None:
            world.stage.sandbox.switchboard.message_limit = 4
            await world.stage.start_process()
            victim = world.stage.sandbox.visitor("Victim")
            await victim.says("hello")
            await victim.waits_for("What else?", 5)
            for words in ("much", "more", "and more"):
                await victim.says(words)
                await world.stage.wait(timedelta(minutes=1))
                assert world.stage.sandbox.switchboard.holder(victim.conversation_id) != BOT
            given_up = [signal.fields["outcome"] for signal in world.told("message_given_up")]
            # In pass mode the agents have it from then on; else each word opens a flow.
            assert given_up == ["not said: Locked 423 locked"] * (3 if mode == "release" else 1)
            await world.is_served("Other")
            await victim.ends()
            await world.all_closed()

        play(script, mode=mode)

    @pytest.mark.parametrize("answer", ["refused", "failure_event"])
    def test_a_target_of_passes_that_is_not_there(self, answer: str) -> None:
        """PASS_TO is wrong: each conversation is released instead, and nobody waits for another one's retries."""

        async def script(world: World) -> None:
            await world.stage.start_process()
            visitors = [world.stage.sandbox.visitor(f"Visitor {number}") for number in range(5)]
            for visitor in visitors:
                await visitor.says("raise")
            await world.is_served("Other")
            await world.stage.wait(timedelta(minutes=1))
            for visitor in visitors:
                assert world.stage.sandbox.switchboard.holder(visitor.conversation_id) is None
                await visitor.ends()
            await world.all_closed()

        policy = replace(QUICK, mode=PassControl("nobody-there"), closes=False)
        play(script, mode="pass", policy=policy, unknown_target=answer)


class TestQueue:
    """The bot comes back after a long pause and finds a queue."""

    def test_a_queue_of_many_conversations(self) -> None:
        """Each event takes effect once, everything is closed, and memory does not grow with the queue."""

        async def script(world: World) -> None:
            board, stage = world.stage.sandbox.switchboard, world.stage
            visitors = [stage.sandbox.visitor(f"Visitor {n}") for n in range(max(10, EVENTS // 100))]
            await stage.start_process(worker=False)
            for visitor in visitors:
                await visitor.says("hello")
            await stage.sandbox.sender.settled()
            noise = [
                NewEvent(f"noise-{n}", visitor.conversation_id, *_noise(n, visitor), stage.clock.now())
                for n, visitor in zip(range(EVENTS - 4 * len(visitors)), _again_and_again(visitors), strict=False)
            ]
            for start in range(0, len(noise), 500):
                await stage.store.receive(noise[start : start + 500])
            noise.clear()
            for visitor in visitors:
                await visitor.ends()
            await stage.sandbox.sender.settled()
            queue = (await stage.store.counts(stage.clock.now())).inbox
            tracemalloc.start()
            began = time.monotonic()
            await stage.start_process(web=False)
            await world.is_served("Other")
            await world.all_closed()
            seconds = time.monotonic() - began
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            _log.info("%d events: %.1f s with tracemalloc, %.1f MiB at most", queue, seconds, peak / 2**20)
            assert peak < A_QUEUE_IN
            assert set(stage.event_statuses().values()) == {"handled"}
            said = Counter(e.metadata.get(EFFECT_KEY) for e in board.history if e.kind is Kind.MESSAGE)
            assert [effect for effect, times in said.items() if effect and times > 1] == []

        play(script)

    @pytest.mark.long
    def test_a_flood_in_one_conversation(self) -> None:
        """Eight thousand events of one user, while a flow is at work: the bodies of what is over are not kept."""
        events, size = 8000, 1000

        async def script(world: World) -> None:
            process = await world.stage.start_process()
            victim = world.stage.sandbox.visitor("Victim")
            await victim.says("work")
            await world.stage.wait(timedelta(seconds=1))
            tracemalloc.start()
            for first in range(0, events, 250):
                flood = [json.loads(_noise(n, victim, size)[1]) for n in range(first, first + 250)]
                envelope = {"app": {"id": "a"}, "webhook": {"id": "w", "version": "v2"}, "events": flood}
                headers = {"X-API-Key": world.stage.sandbox.secret}
                assert await process.post(headers, json.dumps(envelope).encode()) == 200
                await world.stage.wait(timedelta(milliseconds=100))
            await world.is_served("Other")
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert peak < events * size / 2
            assert (await world.shown())["switchboard_inbox_events"] == 0
            await victim.ends()
            await world.all_closed()

        play(script)


def _again_and_again(visitors: list[Visitor]) -> Any:
    while True:
        yield from visitors


def _noise(number: int, visitor: Visitor, size: int = 300) -> tuple[str, bytes]:
    """The type and body of an event as they come in numbers: read, typing, and words that nobody waits for."""
    kinds = ("conversation:read", "conversation:typing", "conversation:message:delivery:channel")
    type_ = kinds[number % len(kinds)]
    payload = {"conversation": {"id": visitor.conversation_id}, "user": {"id": visitor.user.id}, "x": "x" * size}
    if type_ == "conversation:typing":
        payload["activity"] = {"type": "typing:start"}
    if type_ == "conversation:message:delivery:channel":
        payload["message"] = {"id": f"m{number}"}
    return type_, json.dumps({"id": f"noise-{number}", "type": type_, "payload": payload}).encode()


class TestOverdue:
    """What is owed for too long."""

    @pytest.mark.parametrize("mode", some(MODES))
    def test_a_duty_that_cant_be_carried_out_shows_until_it_is(self, mode: ModeName) -> None:
        """While the API answers 500 to releases: owed at once, overdue and an error in the log after a minute."""

        async def script(world: World) -> None:
            down = [True]

            def fail(request: ApiRequest, moment: Moment) -> Fault | None:
                acts = request.path.endswith(("/releaseControl", "/passControl"))
                return Fault(status=500) if down and acts and moment is Moment.BEFORE else None

            world.stage.sandbox.server.faults = fail
            await world.stage.start_process()
            victim = world.stage.sandbox.visitor("Victim")
            await victim.says("raise")
            await world.stage.wait(timedelta(seconds=30))
            shown = await world.shown()
            assert shown["switchboard_duties_owed"] == 1
            assert shown["switchboard_duties_overdue"] == 0
            assert 30 - FELL_BACK_WITHIN <= shown["switchboard_duties_oldest_seconds"] <= 31
            assert world.told("duty_overdue") == []

            await world.stage.wait(timedelta(seconds=40))
            shown = await world.shown()
            assert shown["switchboard_duties_owed"] == shown["switchboard_duties_overdue"] == 1
            assert 70 - FELL_BACK_WITHIN <= shown["switchboard_duties_oldest_seconds"] <= 71
            (told,) = world.told("duty_overdue")
            assert (told.level, told.conversation_id) == (Level.ERROR, victim.conversation_id)

            down.clear()
            await world.stage.wait(timedelta(minutes=6))
            shown = await world.shown()
            assert shown["switchboard_duties_owed"] == shown["switchboard_duties_overdue"] == 0
            assert shown["switchboard_duties_oldest_seconds"] == 0
            assert world.stage.sandbox.switchboard.holder(victim.conversation_id) != BOT
            await victim.ends()
            await world.all_closed()

        play(script, mode=mode)


class TestModeMismatch:
    """CONTROL_MODE is not what the account is set to."""

    @pytest.mark.parametrize("closing", some([True, False]))
    @pytest.mark.parametrize(("bot", "account"), [("release", "pass"), ("pass", "release")])
    def test_every_conversation_still_closes_and_it_is_told_once_each(
        self, bot: str, account: ModeName, closing: bool
    ) -> None:
        """Tickets that are closed show it: the platform then does what it does only in its own mode."""

        async def script(world: World) -> None:
            await world.stage.start_process()
            board = world.stage.sandbox.switchboard
            visitors = [world.stage.sandbox.visitor(f"Visitor {number}") for number in range(3)]
            for visitor in visitors:
                await visitor.says("hello")
                await visitor.waits_for("What else?", 5)
                for _ in range(2):  # the second time it is known already
                    board.pass_control(visitor.conversation_id, ELSEWHERE, WORKSPACE, world.stage.clock.now())
                    await world.stage.wait(timedelta(seconds=1))
                    board.agent_says(visitor.conversation_id, "agent here", world.stage.clock.now())
                    await world.stage.wait(timedelta(seconds=10))
                    board.close_ticket(visitor.conversation_id, world.stage.clock.now())
                    await world.stage.wait(timedelta(seconds=50))
            ended_by_user = await world.is_served("Another")
            for visitor in visitors:
                await visitor.ends()
            await world.all_closed()
            told = Counter(signal.conversation_id for signal in world.told("mode_mismatch"))
            assert {visitor.conversation_id: 1 for visitor in visitors}.items() <= told.items()
            assert set(told.values()) == {1}
            assert told.keys() <= {visitor.conversation_id for visitor in (*visitors, ended_by_user)}
            assert (await world.shown())["switchboard_mode_mismatches_total"] == len(told)

        policy = replace(QUICK, mode=mode_named(bot, WORKSPACE), closes=closing)
        play(script, mode=account, policy=policy, closing=closing)

    @pytest.mark.parametrize("mode", some(MODES))
    def test_it_is_not_told_where_the_mode_is_right(self, mode: ModeName) -> None:
        """The counter is there, and stands at 0."""

        async def script(world: World) -> None:
            await world.stage.start_process()
            board = world.stage.sandbox.switchboard
            visitor = world.stage.sandbox.visitor()
            await visitor.says("raise")
            await world.stage.wait(timedelta(seconds=10))
            board.pass_control(visitor.conversation_id, ELSEWHERE, WORKSPACE, world.stage.clock.now())
            board.agent_says(visitor.conversation_id, "agent here", world.stage.clock.now())
            board.close_ticket(visitor.conversation_id, world.stage.clock.now())
            await world.stage.wait(timedelta(minutes=2))
            await world.is_served("Another")
            await world.all_closed()
            assert (await world.shown())["switchboard_mode_mismatches_total"] == 0

        play(script, mode=mode)
