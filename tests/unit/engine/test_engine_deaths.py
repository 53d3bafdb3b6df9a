"""A process may die at any point; the next one goes on, and no one notices. Several share a database."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from engine_samples import (
    LIST,
    LONG,
    MODES,
    POST,
    QUICK,
    FlowFunction,
    Scene,
    act,
    lasts,
    opening,
    whole_conversation,
)
from tiers import some

from bot import Chat, NoAnswer
from bot.clock import Clock
from bot.engine.context import AFTERMATH
from bot.replay.harness import Process
from bot.sandbox.faults import Fault, Moment
from bot.store import Unavailable

WORKING = ("claim", "save", "renew", "fetch")
WRITING = ("receive", *WORKING)
POINTS = ("store", "stored")  # just before an operation, and just after it


def deaths_in(
    script: Callable[[Scene], Coroutine[Any, Any, None]],
    flow: FlowFunction = opening,
    *,
    point: str,
    operations: Sequence[str] = WRITING,
    mode: str = "release",
    every: int = 1,
) -> int:
    """Play a script with a death at each of its store operations, or every so many; return how many it has."""
    number, died = 1 - every, True
    while died:
        number, died = number + every, False
        seen = 0

        async def whole(scene: Scene, at: int = number) -> None:
            async def hook(process: Process, operation: str) -> None:
                nonlocal seen, died
                seen += operation in operations
                if operation in operations and seen == at:
                    died = True
                    scene.dies_here(process)

            setattr(scene.stage.interference, point, hook)
            try:
                await script(scene)
            except Exception as error:
                error.add_note(f"the process died at operation {at}")
                raise

        act(whole, flow, mode=mode)
    return seen


@pytest.mark.parametrize("every", some([5, 1]))
@pytest.mark.parametrize("mode", some(MODES))
@pytest.mark.parametrize("point", POINTS)
def test_a_death_at_any_store_operation_leaves_nothing_open(point: str, mode: str, every: int) -> None:
    """Before and after each one of a whole conversation: closed with proof, nothing doubled, nothing late."""

    async def script(scene: Scene) -> None:
        await whole_conversation(scene)
        assert scene.events("session_failed", "worker_failed") == []

    assert deaths_in(script, point=point, mode=mode, every=every) >= 20


@pytest.mark.parametrize("point", POINTS)
def test_a_death_at_any_store_operation_leaves_the_flow_its_opening(point: str) -> None:
    """What the user said to open it, and who the user is, also when the process dies before the flow has begun."""

    async def flow(chat: Chat) -> None:
        await chat.say(f"You said {chat.opening.text}, {chat.user.name}.")
        await chat.ask("well?")

    async def script(scene: Scene) -> None:
        await scene.visitor.says("hi")
        await scene.visitor.waits_for("You said hi, Sam.", LONG)

    assert deaths_in(script, flow, point=point) >= 3


@pytest.mark.parametrize("point", some(POINTS))
def test_a_death_at_any_store_operation_lets_no_word_answer_twice(point: str) -> None:
    """What the user said once answers one question, also where the process dies between an answer and the next one."""

    async def flow(chat: Chat) -> None:
        first = await chat.ask("First?")
        await chat.call(lasts, 3.0)
        second = await chat.ask("Second?", timeout=timedelta(minutes=1))
        await chat.call(lasts, 3.0)
        third = await chat.ask("Third?", timeout=timedelta(minutes=1))
        await chat.say(f"{first.text}, {second.text}, {third.text}.")

    async def script(scene: Scene) -> None:
        await scene.visitor.says("hi")
        await scene.visitor.waits_for("First?", LONG)
        await scene.visitor.says("one")
        await scene.stage.wait(timedelta(seconds=1))
        await scene.visitor.says("two")
        await scene.visitor.waits_for("Third?", LONG)
        await scene.visitor.says("three")
        await scene.visitor.waits_for(".", LONG)
        assert scene.bots()[-1] == "one, two, three."

    assert deaths_in(script, flow, point=point, operations=WORKING) >= 10


@pytest.mark.parametrize("point", some(reversed(POINTS)))
def test_a_death_at_any_store_operation_keeps_a_fresh_question_fresh(point: str) -> None:
    """What it was to ignore answers no later question either."""

    async def flow(chat: Chat) -> None:
        await chat.sleep(timedelta(seconds=2))
        with suppress(NoAnswer):
            await chat.ask("Now?", timeout=timedelta(0), fresh=True)
        await chat.call(lasts, 3.0)
        answer = await chat.ask("And now?", timeout=timedelta(minutes=1))
        await chat.say(f"{answer.text}.")

    async def script(scene: Scene) -> None:
        await scene.visitor.says("hi")
        await scene.stage.wait(timedelta(seconds=1))
        await scene.visitor.says("stale")
        await scene.visitor.waits_for("And now?", LONG)
        await scene.visitor.says("fresh")
        await scene.visitor.waits_for(".", LONG)
        assert scene.bots()[-1] == "fresh."

    assert deaths_in(script, flow, point=point, operations=WORKING) >= 7


@pytest.mark.parametrize("mode", some(reversed(MODES)))
@pytest.mark.parametrize("moment", list(Moment))
def test_a_death_around_any_api_call_leaves_nothing_open(moment: Moment, mode: str) -> None:
    """Before the call took effect, and after it, so that nobody knows that it did."""
    number, died = 0, True
    while died:
        number, died = number + 1, False

        async def script(scene: Scene, at: int = number) -> None:
            def strike(_: str, when: Moment, __: int) -> Fault | None:
                nonlocal died
                if when is moment and len(scene.calls) == at and not died:
                    died = True
                    for process in scene.stage.alive:
                        process.kill()
                    scene.stage.loop.create_task(scene.replace_process())
                    return Fault(reset=True) if when is Moment.BEFORE else None
                return None

            scene.faulty = strike
            await whole_conversation(scene)

        act(script, mode=mode)
    assert number > 4


@pytest.mark.parametrize("mode", MODES)
def test_deaths_without_end_only_delay(mode: str) -> None:
    """No process lives longer than five store operations, and each has to wait for the lease of the one before."""

    async def script(scene: Scene) -> None:
        operations: dict[str, int] = {}

        async def hook(process: Process, operation: str) -> None:
            operations[process.name] = operations.get(process.name, 0) + (operation in WRITING)
            if operations[process.name] == 6:
                scene.dies_here(process)

        scene.stage.interference.store = hook
        await whole_conversation(scene)

    patient = replace(QUICK, idle=timedelta(hours=1), closing=timedelta(hours=1))
    act(script, mode=mode, policy=patient)


def test_a_message_that_failed_for_certain_before_is_not_doubled_when_its_next_try_dies() -> None:
    """The database must not say "certainly not tried" while the next try is under way."""

    async def flow(chat: Chat) -> None:
        await chat.say("Only once.")
        await chat.call(lasts, 60.0)
        await chat.say("Done.")

    async def script(scene: Scene) -> None:
        def strike(operation: str, when: Moment, count: int) -> Fault | None:
            if operation != POST:
                return None
            if count == 1 and when is Moment.BEFORE:
                return Fault(status=429)
            if count == 2 and when is Moment.AFTER:
                scene.stage.processes[-1].kill()
                scene.stage.loop.create_task(scene.replace_process())
            return None

        scene.faulty = strike
        await scene.visitor.says("hi")
        await scene.visitor.waits_for("Done.", LONG)
        await scene.closed()
        assert scene.bots() == ["Only once.", "Done."]
        assert LIST in scene.operations

    act(script, flow)


def test_nor_if_it_was_taken_up_again_by_another_session() -> None:
    """The same where the conversation was at rest between the two tries."""

    async def flow(chat: Chat) -> None:
        await chat.ask("Only once?")

    async def script(scene: Scene) -> None:
        def strike(operation: str, when: Moment, count: int) -> Fault | None:
            if operation != POST:
                return None
            if count == 1 and when is Moment.BEFORE:
                return Fault(status=429, retry_after="20")
            if count == 2 and when is Moment.AFTER:
                scene.stage.processes[-1].kill()
                scene.stage.loop.create_task(scene.replace_process())
            return None

        scene.faulty = strike
        await scene.visitor.says("hi")
        await scene.visitor.waits_for("Only once?", LONG)
        await scene.closed()
        assert scene.bots() == ["Only once?"]

    act(script, flow)


def test_the_lease_of_a_dead_process_is_taken_over() -> None:
    """Within ten seconds, by a process that ran all the time; not before what the dead one sent has taken effect."""

    async def script(scene: Scene) -> None:
        async def hook(process: Process, operation: str) -> None:
            if operation == "save" and process.name == owner[0]:
                process.die_here()
            owner.append(process.name)

        owner = [""]

        async def first(process: Process, operation: str) -> None:
            if operation == "claim" and not owner[0] and scene.visitor.messages:
                owner[0] = process.name
                scene.stage.interference.store = hook

        await scene.stage.wait(timedelta(seconds=1))
        await scene.visitor.says("hi")
        scene.stage.interference.stored = first
        began = scene.stage.loop.time()
        await scene.visitor.waits_for("name?", 10)
        assert scene.stage.loop.time() - began > AFTERMATH.total_seconds()
        assert len(scene.stage.alive) == 1
        await scene.visitor.ends()
        await scene.closed()

    act(script, processes=2)


@pytest.mark.parametrize("mode", some(reversed(MODES)))
def test_two_workers_share_one_database(mode: str) -> None:
    """Thirty conversations, each in one worker at a time, none twice."""

    async def script(scene: Scene) -> None:
        saves: set[str] = set()

        async def hook(process: Process, operation: str) -> None:
            if operation == "save":
                saves.add(process.name)
            await asyncio.sleep(0.01)

        scene.stage.interference.store = hook
        visitors = [scene.stage.sandbox.visitor() for _ in range(30)]
        for visitor in visitors:
            await visitor.says("hi")
        for visitor in visitors:
            await visitor.waits_for("name?", LONG)
            await visitor.taps("Bob")
        for visitor in visitors:
            await visitor.waits_for("else?", LONG)
            await visitor.ends()
        await scene.closed()
        assert len(saves) == 2
        assert scene.events("session_failed", "lease_lost") == []

    act(script, mode=mode, processes=2)


def test_a_process_that_was_asleep_finds_its_lease_lost_and_does_no_harm() -> None:
    """Another one has gone on meanwhile."""

    async def script(scene: Scene) -> None:
        slept: list[str] = []

        async def hook(process: Process, operation: str) -> None:
            if operation == "save" and len(scene.bots()) == 1 and not slept:
                slept.append(process.name)
                await asyncio.sleep(300)

        scene.stage.interference.store = hook
        await whole_conversation(scene)
        await scene.stage.wait(timedelta(minutes=10))
        assert [signal.event for signal in scene.events("lease_lost")] == ["lease_lost"]
        await scene.closed()

    act(script, processes=2)


def test_an_orderly_stop_hands_leases_back_and_reads_nothing_again() -> None:
    """The next process goes on at once, and says what was certainly not tried without looking for it first."""

    async def flow(chat: Chat) -> None:
        for number in range(8):
            await chat.say(f"line {number}")
        await chat.ask("Well?")

    async def script(scene: Scene) -> None:
        scene.faulty = lambda operation, when, _: Fault(delay=1) if (operation, when) == (POST, Moment.AFTER) else None
        await scene.visitor.says("hi")
        await scene.visitor.waits_for("line 2")
        began = scene.stage.loop.time()
        await scene.stage.processes[0].stop()
        assert scene.stage.loop.time() - began < 2
        said = scene.bots()
        await scene.stage.wait(timedelta(minutes=1))
        assert scene.bots() == said
        await scene.replace_process()
        began = scene.stage.loop.time()
        await scene.visitor.waits_for("Well?", LONG)
        assert scene.stage.loop.time() - began < 10
        assert LIST not in scene.operations
        assert scene.bots() == [*(f"line {number}" for number in range(8)), "Well?"]

    act(script, flow)


def test_an_orderly_stop_in_the_middle_of_a_turn_runs_it_again() -> None:
    """The turn is cut off at once, and its lease handed back."""

    async def flow(chat: Chat) -> None:
        await chat.say("before")
        await chat.call(lasts, 30.0)
        await chat.say("after")

    async def script(scene: Scene) -> None:
        await scene.visitor.says("hi")
        await scene.visitor.waits_for("before")
        await scene.stage.wait(timedelta(seconds=5))
        began = scene.stage.loop.time()
        await scene.stage.processes[0].stop()
        assert scene.stage.loop.time() - began < 0.1
        await scene.replace_process()
        await scene.visitor.waits_for("after", 31)
        await scene.closed()
        assert scene.bots() == ["before", "after"]

    act(script, flow)


def test_a_stop_waits_only_so_long_for_a_call_that_hangs() -> None:
    """Eight seconds; what came of it is read by the next process."""

    async def script(scene: Scene) -> None:
        scene.faulty = lambda operation, when, count: (
            Fault(delay=9.9) if (operation, when, count) == (POST, Moment.AFTER, 1) else None
        )
        await scene.visitor.says("hi")
        await scene.visitor.waits_for("Welcome.")
        began = scene.stage.loop.time()
        await scene.stage.processes[0].stop()
        assert scene.stage.loop.time() - began == pytest.approx(8, abs=0.5)
        await scene.replace_process()
        await scene.visitor.waits_for("name?", 60)
        await scene.visitor.ends()
        await scene.closed()

    act(script)


def test_while_nobody_works_nothing_is_lost() -> None:
    """Web without worker: what came is worked off when there is one."""

    async def script(scene: Scene) -> None:
        await scene.stage.start_process(worker=False)
        await scene.visitor.says("hi")
        await scene.stage.wait(timedelta(hours=1))
        await scene.visitor.ends()
        await scene.stage.wait(timedelta(hours=1))
        assert scene.calls == []
        await scene.stage.start_process()
        await scene.closed()

    act(script, mode="pass", processes=0)


def test_the_database_may_be_away_for_a_while() -> None:
    """Webhooks are answered 503 and come again; the worker tries on."""

    async def script(scene: Scene) -> None:
        async def hook(_: Process, __: str) -> None:
            if 1 < scene.stage.loop.time() < 200:
                raise Unavailable("away")

        scene.stage.interference.store = hook
        await scene.visitor.says("hi")
        await scene.visitor.waits_for("name?")
        await scene.stage.wait(timedelta(seconds=2))
        await scene.visitor.taps("Ada")
        await scene.visitor.ends()
        await scene.closed()
        assert scene.events("store_unavailable")

    act(script, mode="pass")


def test_what_the_database_says_after_a_broken_commit_counts() -> None:
    """The save was written, but the process was told that it was not: nothing is doubled."""

    async def script(scene: Scene) -> None:
        broken: list[int] = []

        async def hook(_: Process, operation: str) -> None:
            if operation == "save" and len(scene.calls) in (1, 3) and len(broken) < 3:
                broken.append(1)
                raise Unavailable("the connection broke")

        scene.stage.interference.stored = hook
        await whole_conversation(scene)
        assert broken

    act(script, mode="pass")


@pytest.mark.parametrize("operation", ["save", "fetch", "renew"])
def test_a_short_outage_makes_no_flow_begin_its_turn_anew(operation: str) -> None:
    """The session keeps what it knows and its lease, and writes as soon as it can: calls are not made twice."""
    calls: list[str] = []

    async def counted() -> str:
        calls.append("called")
        await asyncio.sleep(12)
        return "result"

    async def flow(chat: Chat) -> None:
        await chat.call(counted)
        await chat.say("done")

    async def script(scene: Scene) -> None:
        async def hook(_: Process, now: str) -> None:
            if now == operation and 5 < scene.stage.loop.time() - begun < 20:
                raise Unavailable("away")

        await scene.visitor.says("hi")
        begun = scene.stage.loop.time()
        scene.stage.interference.store = hook
        await scene.visitor.waits_for("done", 25)
        assert calls == ["called"]
        await scene.given_up()

    act(script, flow, None)


class SetBack:
    """A clock that can be set back."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.by = timedelta(0)

    def now(self) -> datetime:
        """The time, as far as this clock knows."""
        return self.clock.now() - self.by


def test_a_clock_that_is_set_back_keeps_nothing_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """A session at work looks for events within a third of its lease, and stops the flow of a user who is gone."""

    async def flow(chat: Chat) -> None:
        await chat.call(lasts, 600.0)

    async def script(scene: Scene) -> None:
        clock = SetBack(scene.stage.clock)
        scene.stage.clock = clock
        process = await scene.stage.start_process()
        assert process.worker
        await scene.visitor.says("hi")
        await scene.stage.wait(timedelta(seconds=3))
        monkeypatch.setattr(process.worker, "wake", lambda _: None)  # another process takes the webhooks
        clock.by = timedelta(hours=1)
        await scene.visitor.ends()
        await scene.stage.wait(timedelta(seconds=15))
        state = await scene.stage.state(scene.visitor.conversation_id)
        assert state
        assert state.ended
        assert state.run is None

    act(script, flow, None, processes=0)
