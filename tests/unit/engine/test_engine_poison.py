"""Events that can't be understood, that are not wanted, or that erase: each only touches what it must."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from engine_samples import LONG, MODES, Scene, act, lasts

from bot import Chat
from bot.control.facts import Fact, UserSpoke
from bot.control.rules import UnsafeStateError, step
from bot.engine import app_events, progress
from bot.signals import Level

MARKER = "zebra-crossing"


async def _deliver(scene: Scene, *events: Any, headers: dict[str, str] | None = None) -> int:
    """Post a delivery of these events, as the platform would."""
    body = json.dumps({"app": {"id": "a"}, "webhook": {"id": "w", "version": "v2"}, "events": events}).encode()
    key = {"X-API-Key": scene.stage.sandbox.secret}
    return await scene.stage.alive[0].post(headers or key, body)


def _event(scene: Scene, **changes: Any) -> dict[str, Any]:
    """A message of the visitor, with changes."""
    return {
        "id": f"event-{len(scene.signals)}-{len(changes)}",
        "createdAt": scene.now.isoformat(),
        "type": "conversation:message",
        "payload": {
            "conversation": {"id": scene.visitor.conversation_id},
            "message": {"id": "m", "author": {"type": "user"}, "content": {"type": "text", "text": "x"}},
        },
    } | changes


@pytest.mark.parametrize(
    "poison",
    [
        {"payload": {"conversation": {"id": "THE"}, "message": None}},
        {"payload": {"conversation": {"id": "THE"}, "message": [1]}},
        {"payload": {"conversation": {"id": "THE"}}},
        {"type": 7},
    ],
)
def test_an_event_that_cant_be_read_is_set_aside_and_blocks_nothing(poison: dict[str, Any]) -> None:
    """Neither the rest of its delivery nor its conversation."""

    async def script(scene: Scene) -> None:
        await scene.visitor.says("hi")
        await scene.visitor.waits_for("name?")
        text = json.dumps(_event(scene, **poison)).replace("THE", scene.visitor.conversation_id)
        assert await _deliver(scene, json.loads(text)) == 200
        await scene.visitor.taps("Ada")
        await scene.visitor.waits_for("else?", 2)
        assert scene.events("event_set_aside")
        counts = await scene.stage.store.counts(scene.now)
        assert (counts.set_aside, counts.inbox) == (1, 0)
        await scene.visitor.ends()
        await scene.closed()

    act(script)


@pytest.mark.parametrize("error", [ValueError("x"), UnsafeStateError("x"), RecursionError(), KeyError("k")])
def test_an_event_that_breaks_a_rule_is_set_aside_and_its_conversation_goes_on(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if it had never come; what came with it still counts."""
    broken: list[str] = []

    def breaks(state: Any, fact: Fact, *rest: Any) -> Any:
        made = step(state, fact, *rest)
        if isinstance(fact, UserSpoke) and state.run and not broken:
            broken.append(fact.input.event_id)
            raise error
        return made

    async def script(scene: Scene) -> None:
        monkeypatch.setattr(progress, "step", breaks)
        await scene.visitor.says("hi")
        await scene.visitor.waits_for("name?")
        await scene.visitor.says("poisonous")
        await scene.stage.wait(timedelta(seconds=2))
        assert [signal.fields["reason"] for signal in scene.events("event_set_aside")] == [
            f"internal error: {type(error).__name__}"
        ]
        await scene.visitor.says("Ada")
        await scene.visitor.waits_for("Ada: 3 letters.", 2)
        await scene.visitor.waits_for("else?")
        await scene.visitor.ends()
        await scene.closed()

    act(script)


def test_a_poisonous_event_of_no_conversation_is_set_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that makes the worker's own code raise is set aside, and holds up nothing."""

    def breaks(_: Any) -> Any:
        raise RuntimeError("a bug")

    async def script(scene: Scene) -> None:
        monkeypatch.setattr(app_events, "parse_event", breaks)
        assert await _deliver(scene, {"id": "u", "type": "user:update", "payload": {"user": {"id": "x"}}}) == 200
        await scene.stage.wait(timedelta(seconds=1))
        assert [signal.fields["reason"] for signal in scene.events("event_set_aside")] == [
            "internal error: RuntimeError"
        ]
        await scene.visitor.says("hi")
        await scene.visitor.waits_for("name?", 1)
        await scene.visitor.ends()
        await scene.closed()

    act(script)


def test_an_event_of_no_conversation_that_cant_be_read_is_set_aside() -> None:
    """And the next one is taken."""

    async def script(scene: Scene) -> None:
        events = [
            {"id": "1", "type": "user:remove", "payload": {"user": None}},
            {"id": "2", "type": "user:update"},
            "text",
            7,
        ]
        assert await _deliver(scene, *events) == 200
        await scene.stage.wait(timedelta(seconds=5))
        counts = await scene.stage.store.counts(scene.now)
        assert counts.inbox == 0
        assert counts.set_aside >= 3
        assert scene.events("worker_failed") == []

    act(script)


@pytest.mark.parametrize(
    "event",
    [
        {"type": "conversation:of:the:future", "payload": {"conversation": {"id": "THE"}, "x": [1]}},
        {
            "type": "conversation:typing",
            "payload": {"conversation": {"id": "THE"}, "activity": {"type": "typing:start"}},
        },
        {"type": "conversation:read", "payload": {"conversation": {"id": "THE"}}},
        {
            "type": "conversation:message:delivery:user",
            "payload": {"conversation": {"id": "THE"}, "message": {"id": "m"}},
        },
        {"type": "something:of:no:conversation", "payload": {}},
        {"type": "client:add", "payload": {"client": {"id": "c"}, "user": {"id": "u"}}},
    ],
)
def test_events_of_no_concern_are_handled_silently(event: dict[str, Any]) -> None:
    """No signal that somebody would have to look at, and nothing left in the inbox."""

    async def script(scene: Scene) -> None:
        await scene.visitor.says("hi")
        await scene.visitor.waits_for("name?")
        text = json.dumps(_event(scene) | event).replace("THE", scene.visitor.conversation_id)
        assert await _deliver(scene, json.loads(text)) == 200
        await scene.stage.wait(timedelta(seconds=5))
        counts = await scene.stage.store.counts(scene.now)
        assert (counts.set_aside, counts.inbox) == (0, 0)
        assert [signal for signal in scene.signals if signal.level is not Level.DEBUG] == []
        assert scene.bots() == ["Welcome.", "Your name?"]

    act(script)


def _dump(scene: Scene) -> str:
    connection = scene.stage.store._shared
    assert connection is not None
    return "\n".join(connection.iterdump())


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("what", ["conversation", "user", "user, each conversation told"])
@pytest.mark.parametrize("moment", ["in a call", "in a question", "while closing"])
def test_a_removal_forgets_everything_at_once(what: str, moment: str, mode: str) -> None:
    """In the middle of a turn: nothing of the person is left in the database, and nothing more is said."""

    async def opens(chat: Chat) -> None:
        await chat.say(f"{MARKER} from the bot")
        if moment == "in a call":
            await chat.call(str, MARKER)
            await chat.call(lasts, 100.0)
        await chat.ask("well?")

    async def closes(chat: Chat) -> None:
        await chat.say("closing")
        await chat.sleep(timedelta(minutes=1))

    async def script(scene: Scene) -> None:
        board, visitor = scene.stage.sandbox.switchboard, scene.visitor
        await visitor.says(f"{MARKER} from the user")
        await visitor.waits_for("from the bot")
        if moment == "while closing":
            await visitor.ends()
            if mode == "pass":
                await visitor.waits_for("closing", LONG)
        await scene.stage.wait(timedelta(seconds=3))
        assert MARKER in _dump(scene)
        said = list(scene.bots())
        if what == "conversation":
            board.remove_conversation(visitor.conversation_id, now=scene.now)
        else:
            board.remove_user(visitor.user.id, now=scene.now)
        await scene.stage.wait(timedelta(seconds=3))
        assert MARKER not in _dump(scene)
        assert await scene.stage.state(visitor.conversation_id) is None
        calls = len(scene.calls)
        await scene.stage.wait(timedelta(hours=1))
        assert await scene.stage.at_rest()
        assert len(scene.calls) == calls
        assert len(scene.bots()) in (0, len(said))

    act(script, opens, closes, mode=mode, user_removal_tells_conversations="told" in what)


def test_the_removal_of_one_person_leaves_the_others_alone() -> None:
    """Another conversation goes on."""

    async def script(scene: Scene) -> None:
        other = scene.stage.sandbox.visitor("Other")
        await other.says("hi")
        await other.waits_for("name?")
        await scene.visitor.says("hi")
        await scene.visitor.waits_for("name?")
        scene.stage.sandbox.switchboard.remove_user(scene.visitor.user.id, now=scene.now)
        await scene.stage.wait(timedelta(seconds=3))
        await other.says("Bob")
        await other.waits_for("Bob: 3 letters.")
        await other.waits_for("else?")
        await other.ends()
        await scene.closed()

    act(script)


def test_a_conversation_that_the_platform_does_not_know_any_more_is_given_up() -> None:
    """404 `conversation_not_found`, and the event of the removal was lost."""

    async def script(scene: Scene) -> None:
        await scene.visitor.says("hi")
        await scene.visitor.waits_for("name?")
        board = scene.stage.sandbox.switchboard
        board.remove_conversation(scene.visitor.conversation_id, now=scene.now)
        board.drain()
        await scene.stage.wait(timedelta(hours=2))
        assert await scene.stage.at_rest()
        assert [signal.event for signal in scene.events("conversation_gone")] == ["conversation_gone"]

    act(script)
