"""One of two workers dies for good: the other one answers its conversations within ten seconds."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta

import pytest
from engine_samples import LIST, LONG, MODES, POST, Scene, act, lasts

from bot import Chat
from bot.engine.context import AFTERMATH, LEASE
from bot.replay.harness import Process
from bot.sandbox.faults import Fault, Moment
from bot.store import Unavailable

WITHIN = 10  # seconds


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("point", ["claim", "save"])
def test_a_worker_dies_for_good(point: str, mode: str) -> None:
    """Between its claim and its first save, or right after that save."""

    async def script(scene: Scene) -> None:
        dead: list[Process] = []

        async def hook(process: Process, operation: str) -> None:
            if operation == point and not dead and await scene.stage.state(scene.visitor.conversation_id):
                dead.append(process)
                process.die_here()

        scene.stage.interference.stored = hook
        await scene.visitor.says("hi")
        began = scene.stage.loop.time()
        await scene.visitor.waits_for("name?", WITHIN)
        assert dead
        assert len(scene.stage.alive) == 1
        assert scene.stage.loop.time() - began > AFTERMATH.total_seconds()
        await scene.visitor.ends()
        await scene.closed()

    act(script, mode=mode, processes=2)


@pytest.mark.parametrize("moment", list(Moment))
def test_a_worker_dies_during_an_api_call(moment: Moment) -> None:
    """What it was saying is said once, whether or not the platform got it."""

    async def script(scene: Scene) -> None:
        def strike(operation: str, when: Moment, count: int) -> Fault | None:
            if (operation, when, count) != (POST, moment, 1):
                return None
            (worker,) = (process for process in scene.stage.alive if process.worker and process.worker._sessions)
            worker.kill()
            return Fault(reset=True) if when is Moment.BEFORE else None

        scene.faulty = strike
        await scene.visitor.says("hi")
        await scene.visitor.waits_for("name?", WITHIN + 1)
        assert len(scene.stage.alive) == 1
        assert LIST in scene.operations
        await scene.visitor.ends()
        await scene.closed()

    act(script, processes=2)


def test_a_worker_dies_at_rest() -> None:
    """It has no leases, and so nobody waits at all."""

    async def script(scene: Scene) -> None:
        saved: list[Process] = []

        async def hook(process: Process, operation: str) -> None:
            if operation == "save":
                saved.append(process)

        scene.stage.interference.stored = hook
        await scene.visitor.says("hi")
        await scene.visitor.waits_for("name?", LONG)
        await scene.stage.wait(timedelta(seconds=1))
        saved[-1].kill()
        await scene.visitor.taps("Ada")
        await scene.visitor.waits_for("else?", 2)
        await scene.closed()

    act(script, processes=2)


def test_a_worker_dies_after_a_long_time_at_work() -> None:
    """Its lease, renewed again and again, is no longer than the first one."""

    async def flow(chat: Chat) -> None:
        await chat.call(lasts, 45.0)
        await chat.say("done")

    async def script(scene: Scene) -> None:
        await scene.visitor.says("hi")
        await scene.stage.wait(timedelta(seconds=40))
        (worker,) = (process for process in scene.stage.alive if process.worker and process.worker._sessions)
        worker.kill()
        await scene.visitor.waits_for("done", WITHIN + 45)
        await scene.closed()

    act(script, flow, processes=2)


def test_a_paused_worker_comes_back() -> None:
    """It finds its lease lost, and says nothing that the other one has said."""

    async def script(scene: Scene) -> None:
        paused: list[Process] = []

        async def hook(process: Process, operation: str) -> None:
            if operation == "save" and not scene.bots() and scene.visitor.messages and not paused:
                paused.append(process)
                await asyncio.sleep(LEASE.total_seconds() * 2)

        scene.stage.interference.store = hook
        await scene.visitor.says("hi")
        await scene.visitor.waits_for("name?", WITHIN)
        assert scene.events("lease_lost") == []
        await scene.stage.wait(LEASE * 2)
        assert [signal.event for signal in scene.events("lease_lost")] == ["lease_lost"]
        assert len(scene.stage.alive) == 2
        await scene.visitor.ends()
        await scene.closed()

    act(script, processes=2)


def test_a_live_worker_is_never_taken_for_dead() -> None:
    """A call of 50 seconds runs once, although the lease is much shorter."""
    calls: list[float] = []

    async def flow(chat: Chat) -> None:
        async def slow() -> None:
            calls.append(1)
            await asyncio.sleep(50)

        await chat.call(slow)
        await chat.say("done")

    async def script(scene: Scene) -> None:
        await scene.visitor.says("hi")
        await scene.visitor.waits_for("done", 60)
        assert calls == [1]
        assert scene.events("lease_lost") == []
        await scene.closed()

    act(script, flow, processes=2)


def test_a_lease_that_ran_out_in_an_outage_is_kept() -> None:
    """The worker may claim its own conversation as soon as the database is back, before its session has tried again."""
    calls: list[float] = []

    async def flow(chat: Chat) -> None:
        async def slow() -> None:
            calls.append(1)
            await asyncio.sleep(25)

        await chat.call(slow)
        await chat.say("done")

    async def script(scene: Scene) -> None:
        async def away(_: Process, operation: str) -> None:
            since = scene.stage.loop.time() - began
            if 2 < since < 20 or (operation in ("renew", "fetch") and 2 < since < 21):
                raise Unavailable("away")

        await scene.visitor.says("hi")
        began = scene.stage.loop.time()
        scene.stage.interference.store = away
        with suppress(Unavailable):
            await scene.stage.wait(timedelta(seconds=20.2))
            for process in scene.stage.alive:
                assert process.worker
                process.worker.wake(["another"])
        await scene.visitor.waits_for("done", 30)
        assert calls == [1]
        await scene.given_up()

    act(script, flow, None)
