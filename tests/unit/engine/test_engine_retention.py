"""Retention beside running work: whatever is purged at whatever moment, the bot does what it would have done."""

from __future__ import annotations

from datetime import timedelta

import pytest
from engine_samples import LONG, MODES, Scene, act

from bot import Chat
from bot.replay.harness import Process


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("point", ["store", "stored"])
def test_purging_at_any_moment_changes_nothing(point: str, mode: str) -> None:
    """Before and after each operation all that nothing needs is deleted, as if RETENTION_DAYS were 0."""
    purged: list[int] = []

    async def script(scene: Scene) -> None:
        async def hook(_: Process, __: str) -> None:
            connection = scene.stage.store._shared
            assert connection is not None
            connection.execute("UPDATE conversations SET kept_since = 0")  # look at each, every time
            purged.append(await scene.stage.store.purge(scene.now, 100))

        setattr(scene.stage.interference, point, hook)
        await scene.visitor.says("hi")
        await scene.visitor.waits_for("name?", LONG)
        await scene.visitor.taps("Ada")
        await scene.visitor.waits_for("else?", LONG)
        await scene.visitor.ends()
        assert await scene.stage.quiet(timedelta(hours=1))
        assert not scene.stage.sandbox.switchboard.is_open(scene.visitor.conversation_id)
        said = scene.bots()
        assert len(said) == len(set(said)) >= 2
        assert scene.events("session_failed", "worker_failed", "flow_failed") == []

    act(script, mode=mode)
    assert sum(purged) > 10


def test_a_flow_that_slept_for_longer_than_anything_is_kept_still_knows_how_it_began() -> None:
    """Its opening, what the user said meanwhile, and its journal are there when it goes on."""
    calls: list[str] = []

    async def flow(chat: Chat) -> None:
        await chat.call(calls.append, "called")
        await chat.sleep(timedelta(days=6))
        answer = await chat.ask("You said what?")
        await chat.say(f"{chat.opening.text}, {answer.text}.")

    async def script(scene: Scene) -> None:
        await scene.visitor.says("first")
        await scene.stage.wait(timedelta(seconds=5))
        await scene.visitor.says("second")
        for _ in range(5):
            await scene.stage.wait(timedelta(days=1))
            await scene.stage.store.purge(scene.now - timedelta(days=1), 100)
        await scene.visitor.waits_for("You said what?", 86400.0 * 3)
        await scene.visitor.waits_for("first, second.", 60)
        assert calls == ["called"]

    act(script, flow, None)
