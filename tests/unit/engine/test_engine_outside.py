"""What comes from outside may be lost, told twice, half told or dated wrongly: control is given up all the same."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest
from engine_samples import LIST, MODES, PASS, RELEASE, Scene, act
from tiers import some

from bot import Chat
from bot.sandbox.switchboard import BOT, WORKSPACE
from bot.signals import Level

Event = dict[str, Any]


def on_the_way(scene: Scene, change: Callable[[Event], list[Event]]) -> None:
    """Let something happen to every event between the platform and the bot."""
    post = scene.stage.sandbox.sender._post
    assert post is not None

    async def changed(url: str, headers: Mapping[str, str], body: bytes) -> int:
        delivery = json.loads(body)
        delivery["events"] = [new for event in delivery["events"] for new in change(event)]
        return await post(url, headers, json.dumps(delivery).encode()) if delivery["events"] else 200

    scene.stage.sandbox.sender._post = changed


def is_end(event: Event) -> bool:
    """Is it the ended message?"""
    activity = event["payload"].get("message", {}).get("activity") or {}
    return activity.get("type") == "conversation:endedByUser"


def by_user(event: Event) -> bool:
    """Has the user written or tapped something?"""
    author = event["payload"].get("message", {}).get("author", {})
    return event["type"] == "conversation:postback" or (author.get("type") == "user" and not is_end(event))


async def talks_and_ends(scene: Scene) -> None:
    """A visitor who is asked something, and ends."""
    await scene.visitor.says("hi")
    await scene.visitor.waits_for("name?", 60)
    await scene.stage.wait(timedelta(seconds=1))
    await scene.visitor.ends()


def without_id(event: Event) -> list[Event]:
    """The active integration has only a name."""
    active = event["payload"]["conversation"].get("activeSwitchboardIntegration")
    if active:
        event["payload"]["conversation"]["activeSwitchboardIntegration"] = {"name": active["name"]}
    return [event]


def with_nobody_known(event: Event) -> list[Event]:
    """The active integration is there, and has neither id nor name."""
    if event["payload"]["conversation"].get("activeSwitchboardIntegration"):
        event["payload"]["conversation"]["activeSwitchboardIntegration"] = {}
    return [event]


def with_broken_pending(event: Event) -> list[Event]:
    """The pending integration decides nothing."""
    event["payload"]["conversation"]["pendingSwitchboardIntegration"] = {"id": ["?"]}
    return [event]


def without_message_id(event: Event) -> list[Event]:
    """The message that tells the end has no id."""
    if is_end(event):
        del event["payload"]["message"]["id"]
    return [event]


def unreadable(event: Event) -> list[Event]:
    """The end can't be understood at all."""
    if is_end(event):
        event["payload"]["message"] = ["ended"]
    return [event]


def of_a_new_type(event: Event) -> list[Event]:
    """Control events come under names that the bot doesn't know."""
    if event["type"].startswith("switchboard:"):
        event["type"] += "ByPlatform"
    return [event]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "change",
    [without_id, with_nobody_known, with_broken_pending, without_message_id, unreadable, of_a_new_type],
    ids=lambda change: change.__name__,
)
def test_half_told(change: Callable[[Event], list[Event]], mode: str) -> None:
    """An ended conversation is closed, proven, within a minute; nothing is said after the end."""

    async def script(scene: Scene) -> None:
        on_the_way(scene, change)
        await talks_and_ends(scene)
        await scene.closed(timedelta(minutes=1))

    act(script, mode=mode)


CLOCKS = [
    timedelta(milliseconds=3),
    timedelta(seconds=1.1),
    timedelta(seconds=2),
    timedelta(minutes=10),
    timedelta(hours=5),
    timedelta(days=365 * 40),
]


def dated(whose: Callable[[Event], bool], offset: timedelta | str) -> Callable[[Event], list[Event]]:
    """Events of somebody are dated by a clock that is wrong: by so much, or always showing the same time."""

    def change(event: Event) -> list[Event]:
        if whose(event):
            made = datetime.fromisoformat(event["createdAt"])
            stamp = offset if isinstance(offset, str) else (made + offset).isoformat()
            event["createdAt"] = stamp
            if "received" in event["payload"].get("message", {}):
                event["payload"]["message"]["received"] = stamp
        return [event]

    return change


@pytest.mark.parametrize("mode", some(MODES))
@pytest.mark.parametrize("whose", [by_user, is_end, lambda _: True], ids=["words", "the end", "the platform"])
@pytest.mark.parametrize(
    "offset",
    some([*CLOCKS, *(-clock for clock in CLOCKS), "9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z"], every=3),
    ids=str,
)
def test_clocks(offset: timedelta | str, whose: Callable[[Event], bool], mode: str) -> None:
    """Ahead or behind by milliseconds, seconds, hours: the end is an end, and nothing is passed to agents after it."""

    async def script(scene: Scene) -> None:
        on_the_way(scene, dated(whose, offset))
        await talks_and_ends(scene)
        await scene.closed(timedelta(minutes=1))
        assert PASS not in scene.operations

    act(script, mode=mode)


def twice(event: Event) -> list[Event]:
    """Every event comes under a second id too, as from a webhook that was left over."""
    return [event, {**event, "id": f"{event['id']}-again"}]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("batches", ["together", "apart", "after a restart", "by another worker"])
def test_one_message_under_two_event_ids(batches: str, mode: str) -> None:
    """It is answered once: in one delivery, in two, after a restart, with two workers."""
    late: list[Event] = []

    def later(event: Event) -> list[Event]:
        late.append({**event, "id": f"{event['id']}-again"})
        return [event]

    async def tell_late(scene: Scene) -> None:
        again, late[:] = late[:], []
        await deliver(scene, *again)
        await scene.stage.wait(timedelta(seconds=1))

    async def script(scene: Scene) -> None:
        on_the_way(scene, twice if batches == "together" else later)
        await scene.visitor.says("hi")
        await scene.visitor.waits_for("name?", 60)
        if batches == "after a restart":
            scene.stage.alive[0].kill()
            await scene.replace_process()
        await tell_late(scene)
        await scene.visitor.taps("Ada")
        await scene.visitor.waits_for("else?", 60)
        await tell_late(scene)
        assert scene.bots() == ["Welcome.", "Your name?", "Ada: 3 letters.", "Anything else?"]
        await scene.visitor.ends()
        await scene.closed()

    act(script, mode=mode, processes=2 if batches == "by another worker" else 1)


async def deliver(scene: Scene, *events: Event) -> None:
    """Post a delivery of these events."""
    body = {"app": {"id": "a"}, "webhook": {"id": "w", "version": "v2"}, "events": events}
    headers = {"X-API-Key": scene.stage.sandbox.secret}
    if events:
        assert await scene.stage.alive[-1].post(headers, json.dumps(body).encode()) == 200


@pytest.mark.parametrize("mode", MODES)
def test_one_tap_under_two_event_ids(mode: str) -> None:
    """A postback has no id of its own, and still answers one question only."""

    async def asks_twice(chat: Chat) -> None:
        for question in ("First?", "Second?", "Third?"):
            await chat.ask(question)

    async def script(scene: Scene) -> None:
        await scene.visitor.says("hi")
        await scene.visitor.waits_for("First?", 60)
        board = scene.stage.sandbox.switchboard
        active = board.conversations[scene.visitor.conversation_id].active
        tap = {
            "id": "tap",
            "createdAt": scene.now.isoformat(),
            "type": "conversation:postback",
            "payload": {
                "conversation": {
                    "id": scene.visitor.conversation_id,
                    "activeSwitchboardIntegration": {"id": active, "name": BOT},
                },
                "user": {"id": scene.visitor.user.id},
                "postback": {"payload": "GO"},
            },
        }
        await deliver(scene, tap)
        await scene.visitor.waits_for("Second?", 60)
        await deliver(scene, tap | {"id": "tap-again"})
        await scene.stage.wait(timedelta(seconds=5))
        assert scene.bots() == ["First?", "Second?"]

    act(script, asks_twice, None, mode=mode)


@pytest.mark.parametrize("mode", MODES)
def test_what_no_person_wrote_takes_nothing_over(mode: str) -> None:
    """A trigger's message in the middle of a flow: the flow goes on, and no agent gets the conversation."""

    async def script(scene: Scene) -> None:
        await scene.visitor.says("hi")
        await scene.visitor.waits_for("name?", 60)
        board = scene.stage.sandbox.switchboard
        board.agent_says(scene.visitor.conversation_id, "We answer within 5 minutes.", scene.now)
        await scene.visitor.taps("Ada")
        await scene.visitor.waits_for("else?", 60)
        assert scene.holder() == BOT
        assert PASS not in scene.operations

    def by_trigger(event: Event) -> list[Event]:
        message = event["payload"].get("message", {})
        if (message.get("source") or {}).get("type") == "zd:agentWorkspace":
            message["metadata"] = {"__zendesk_msg.agent.id": "__trigger"}
        return [event]

    async def automated(scene: Scene) -> None:
        on_the_way(scene, by_trigger)
        await script(scene)

    act(automated, mode=mode)


@pytest.mark.parametrize("ends_while", ["down", "404"])
@pytest.mark.parametrize("mode", MODES)
def test_the_end_is_all_that_was_lost(mode: str, ends_while: str) -> None:
    """Others are lively, so that nothing looks like a pause: after the restart the end is found within seconds."""
    lost: set[str] = set()  # ids of conversations

    async def script(scene: Scene) -> None:
        on_the_way(scene, lambda event: [] if event["payload"]["conversation"]["id"] in lost else [event])
        await scene.visitor.says("hi")
        await scene.visitor.waits_for("name?", 60)
        other = scene.stage.sandbox.visitor("Lively")
        lost.add(scene.visitor.conversation_id)
        if ends_while == "down":
            scene.stage.alive[0].kill()
        await scene.visitor.ends()
        if ends_while == "404":
            for _ in range(5):
                await other.says("hello?")
                await scene.stage.wait(timedelta(seconds=25))
            scene.stage.alive[0].kill()
        else:
            await scene.stage.wait(timedelta(seconds=125))
        lost.clear()
        began = scene.now
        await scene.replace_process()
        await scene.visitor.waits_until_closed(timeout=60)
        assert scene.now - began < timedelta(seconds=30)
        if mode == "pass":
            assert RELEASE in scene.operations
        tickets = [entry for entry in scene.stage.sandbox.switchboard.history if entry.holder == WORKSPACE]
        assert [entry for entry in tickets if entry.conversation_id == scene.visitor.conversation_id] == []

    act(script, mode=mode, end_while_bot_active_in_pass="stays")


@pytest.mark.parametrize("because", ["idle", "complete", "raises"])
def test_no_ticket_about_nothing(because: str) -> None:
    """The ended message never comes, and the bot was up all the time: the pass that is due finds the end first."""

    async def flow(chat: Chat) -> None:
        await chat.say("Welcome.")
        if because == "idle":
            await chat.sleep(timedelta(hours=1))
        await chat.sleep(timedelta(seconds=5))
        if because == "raises":
            raise RuntimeError("as asked")

    async def script(scene: Scene) -> None:
        on_the_way(scene, lambda event: [] if is_end(event) or event["type"].startswith("switchboard:") else [event])
        await scene.visitor.says("hi")
        await scene.visitor.waits_for("Welcome.", 60)
        await scene.visitor.ends()
        await scene.closed()
        assert LIST in scene.operations
        assert PASS not in scene.operations

    act(script, flow, None, mode="pass", end_while_bot_active_in_pass="stays")


def test_a_restart_reads_only_what_has_been_quiet() -> None:
    """What the bot has just heard of is not read."""

    async def script(scene: Scene) -> None:
        await scene.visitor.says("hi")
        await scene.visitor.waits_for("name?", 60)
        await scene.stage.wait(timedelta(seconds=60))
        scene.stage.alive[0].kill()
        before = len(scene.operations)
        await scene.replace_process()
        await scene.stage.wait(timedelta(seconds=20))
        assert scene.operations[before:] == []
        assert not [signal for signal in scene.signals if signal.level is Level.ERROR]

    act(script)
