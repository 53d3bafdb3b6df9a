"""What stands in the way of one conversation, or of one effect, holds up no release."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from engine_samples import LONG, POST, QUICK, RELEASE, Scene, act

from bot import Chat
from bot.sandbox.faults import Fault, Moment
from bot.sandbox.switchboard import BOT
from bot.sunshine import SunshineClient


async def bye(chat: Chat) -> None:
    """Say one thing."""
    await chat.say("Bye.")


async def lasting(chat: Chat) -> None:
    """Wait for something else, if the user wants that."""
    if chat.opening.text == "slow":
        await chat.call(_for_ever)
    await chat.ask("name?")


async def _for_ever() -> None:
    await asyncio.Event().wait()


def test_flows_that_wait_take_no_place() -> None:
    """While more flows hang in a call than there are places, another conversation's end is dealt with at once."""

    async def script(scene: Scene) -> None:
        await scene.visitor.says("hi")
        await scene.visitor.waits_for("name?", LONG)
        for number in range(60):  # the harness has fifty places
            await scene.stage.sandbox.visitor(f"Slow {number}").says("slow")
        await scene.stage.wait(timedelta(seconds=5))
        await scene.visitor.ends()
        await scene.visitor.waits_until_closed(timeout=2)

    act(script, lasting, None, mode="pass", policy=replace(QUICK, idle=timedelta(minutes=15)))


def test_a_bug_in_a_delivery_does_not_keep_the_release(monkeypatch: pytest.MonkeyPatch) -> None:
    """A message that can't even be tried is given up, and what waits behind it goes out."""

    async def broken(*_: Any, **__: Any) -> None:
        raise AttributeError("a bug of ours")

    async def script(scene: Scene) -> None:
        monkeypatch.setattr(SunshineClient, "post_message", broken)
        await scene.visitor.says("hi")
        await scene.given_up(60)
        assert [signal.fields["error"] for signal in scene.events("delivery_failed")] == ["AttributeError"]

    act(script, bye, None)


def test_a_pending_effect_that_is_lost_is_unclear() -> None:
    """An effect of another version that can't be read does not keep the duty waiting for its answer."""

    async def script(scene: Scene) -> None:
        scene.faulty = lambda operation, moment, _: (
            Fault(reset=True, delay=1) if operation == RELEASE and moment is Moment.BEFORE else None
        )
        await scene.visitor.says("hi")
        await scene.stage.wait(timedelta(seconds=0.5))
        scene.stage.processes[0].kill()
        connection = scene.stage.store._shared
        assert connection is not None
        connection.execute("UPDATE outbox SET body = 'a later version' WHERE kind = 'release' AND status = 'open'")
        scene.faulty = lambda *_: None
        await scene.replace_process()
        await scene.given_up(300)

    act(script, bye, None)


def test_a_message_that_is_put_off_for_hours_does_not_keep_the_release() -> None:
    """What the platform asks to wait is heeded for a message as long as no control action waits behind it."""

    async def script(scene: Scene) -> None:
        scene.faulty = lambda operation, moment, number: (
            Fault(status=429, retry_after="7200")
            if operation == POST and moment is Moment.BEFORE and number == 1
            else None
        )
        await scene.visitor.says("hi")
        await scene.given_up(150)

    act(script, bye, None)


def test_what_a_removed_person_said_is_not_kept() -> None:
    """A removal that comes in one delivery with the person's own message leaves nothing of it."""

    async def script(scene: Scene) -> None:
        now = scene.now.isoformat()
        active = {"id": "i1", "name": BOT, "integrationType": "custom"}
        message = {
            "id": "m1",
            "received": now,
            "author": {"type": "user", "userId": "u9", "displayName": "Eve MARKER"},
            "content": {"type": "text", "text": "my illness MARKER"},
        }
        conversation = {"id": "c9", "activeSwitchboardIntegration": active}
        events: list[dict[str, Any]] = [
            {
                "id": "e1",
                "createdAt": now,
                "type": "conversation:message",
                "payload": {"conversation": conversation, "message": message},
            },
            {"id": "e2", "createdAt": now, "type": "user:remove", "payload": {"user": {"id": "u9"}}},
        ]
        body = {"app": {"id": "a"}, "webhook": {"id": "w", "version": "v2"}, "events": events}
        (process,) = scene.stage.alive
        assert await process.post({"X-API-Key": scene.stage.sandbox.secret}, json.dumps(body).encode()) == 200
        await scene.stage.wait(timedelta(minutes=1))
        connection = scene.stage.store._shared
        assert connection is not None
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        rows = [connection.execute(f"SELECT * FROM {table}").fetchall() for table in tables]  # noqa: S608 - our tables
        assert "MARKER" not in str(rows)
        assert await scene.stage.state("c9") is None

    act(script, bye, None)


def test_many_events_of_no_conversation_are_worked_off_at_once() -> None:
    """Two thousand of them take seconds, not a poll for each hundred."""

    async def script(scene: Scene) -> None:
        (process,) = scene.stage.alive
        events = [
            {"id": f"u{number}", "type": "user:update", "payload": {"user": {"id": f"x{number}"}}}
            for number in range(2000)
        ]
        body = {"app": {"id": "a"}, "webhook": {"id": "w", "version": "v2"}, "events": events}
        assert await process.post({"X-API-Key": scene.stage.sandbox.secret}, json.dumps(body).encode()) == 200
        await scene.stage.wait(timedelta(seconds=10))
        assert set(scene.stage.event_statuses().values()) == {"handled"}

    act(script, bye, None)
