"""What webhooks carry: ids, times, authors, extra keys, removal and merging (docs/platform.md, section 4)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bot.sandbox import BOT, WORKSPACE, ApiError, Cause, Kind, NotPossibleError

Worlds = Callable[..., Any]


def test_ids_are_unique_and_times_have_milliseconds(world: Any) -> None:
    """Every event has an id of its own and `createdAt` with milliseconds and Z."""
    conversation = world.conversation()
    for text in "abc":
        world.board.user_says(conversation.id, text, now=world.now)

    events = world.events()
    assert len({event["id"] for event in events}) == 3
    assert all(event["createdAt"].endswith(".000Z") for event in events)


def test_created_at_may_be_absent(worlds: Worlds) -> None:
    """`createdAt` is left out if the switch says so."""
    world = worlds(created_at_present=False)
    conversation = world.conversation()

    world.board.user_ends(conversation.id, now=world.now)

    assert all("createdAt" not in event for event in world.events())


@pytest.mark.parametrize("present", [True, False])
def test_unpublished_keys(worlds: Worlds, present: bool) -> None:
    """Payloads carry keys that are not published, if the switch says so."""
    world = worlds(extra_keys=present)
    world.board.create_conversation(world.user, now=world.now)

    assert ("brandId" in world.events()[0]["payload"]["conversation"]) is present


def test_every_author_is_heard(world: Any) -> None:
    """`conversation:message` comes for the user, the bot itself and agents, each with its author and source."""
    conversation = world.conversation()

    world.board.user_says(conversation.id, "hi", now=world.now)
    world.says(conversation, "hello")
    world.board.agent_says(conversation.id, "me too", world.now)

    user, bot, agent = (event["payload"]["message"] for event in world.events())
    assert user["author"]["type"] == "user"
    assert user["author"]["userId"] == user["author"]["user"]["id"] == world.user.id
    assert user["source"] == {"type": "web", "integrationId": world.board.channel_id}
    assert (bot["author"], bot["source"]) == ({"type": "business"}, {"type": "api:conversations"})
    assert agent["source"] == {"type": "zd:agentWorkspace"}


@pytest.mark.parametrize("marked", [True, False])
def test_agents_subtype(worlds: Worlds, marked: bool) -> None:
    """Whether agents' messages carry the author subtype is a switch."""
    world = worlds(agent_message_subtype=marked)
    conversation = world.conversation(WORKSPACE)

    world.board.agent_says(conversation.id, "hi", world.now)

    assert world.events()[0]["payload"]["message"]["author"].get("subtypes") == (["agent"] if marked else None)


def test_control_events_have_no_user_and_no_message(world: Any) -> None:
    """Control payloads name the conversation alone."""
    conversation = world.conversation()

    world.board.release_control(conversation.id, world.bot_key, world.now)

    assert set(world.events()[0]["payload"]) == {"conversation"}


def test_an_event_is_a_snapshot(world: Any) -> None:
    """An event keeps what was true when it came about."""
    conversation = world.conversation()

    world.board.user_says(conversation.id, "hi", now=world.now)
    world.board.release_control(conversation.id, world.bot_key, world.now)

    first, second = world.events()
    assert "activeSwitchboardIntegration" in first["payload"]["conversation"]
    assert "activeSwitchboardIntegration" not in second["payload"]["conversation"]


def test_postback_is_its_own_event(world: Any) -> None:
    """A tapped button is `conversation:postback` with the payload, and no message."""
    conversation = world.conversation()

    world.board.user_taps(conversation.id, "BUY", {"sku": 7}, now=world.now)

    (event,) = world.events()
    assert event["type"] == "conversation:postback"
    assert event["payload"]["postback"] == {"payload": "BUY", "metadata": {"sku": 7}}
    assert event["payload"]["user"]["id"] == world.user.id
    assert len(conversation.messages) == 1


@pytest.mark.parametrize(
    ("activity", "event"),
    [("typing:start", "conversation:typing"), ("conversation:read", "conversation:read")],
)
def test_typing_and_reading(world: Any, activity: str, event: str) -> None:
    """Typing and reading are events, but no activity that assigns control."""
    conversation = world.conversation(holder=None)

    world.board.user_types(conversation.id, now=world.now, activity=activity)

    assert world.types() == [event]
    assert not world.board.is_open(conversation.id)


def test_unknown_creation_reason(world: Any) -> None:
    """A creation reason that the platform does not know is a mistake of the test's author."""
    with pytest.raises(ValueError, match="creation reason"):
        world.board.create_conversation(world.user, "because", now=world.now)


def test_conversation_removal(world: Any) -> None:
    """A removed conversation is told, and unknown to the API from then on."""
    conversation = world.conversation()

    world.board.remove_conversation(conversation.id, now=world.now)

    assert world.types() == ["conversation:remove"]
    with pytest.raises(ApiError, match="conversation_not_found"):
        world.says(conversation, "still there?")
    assert world.board.history.holders(conversation.id)[-1][1] is None


@pytest.mark.parametrize(
    ("told", "types"),
    [(True, ["conversation:remove", "conversation:remove", "user:remove"]), (False, ["user:remove"])],
)
def test_user_removal(worlds: Worlds, told: bool, types: list[str]) -> None:
    """A removed person takes all conversations along; whether each is told is a switch."""
    world = worlds(user_removal_tells_conversations=told)
    world.conversation()
    world.conversation()

    world.board.remove_user(world.user.id, now=world.now)

    assert world.types() == types
    assert world.board.conversations == {}
    assert world.board.history[-1].kind is Kind.USER_REMOVED


@pytest.mark.parametrize(("switch", "holder"), [("surviving", WORKSPACE), ("discarded", None), ("default", BOT)])
def test_merge_can_move_control_silently(worlds: Worlds, switch: str, holder: str | None) -> None:
    """Merging users can change who is active in a live agent chat, and only `user:merge` comes."""
    world = worlds(merge_active=switch)
    kept = world.conversation(WORKSPACE)
    twin = world.board.create_user("Sam on the phone")
    gone = world.board.create_conversation(twin, now=world.now)
    world.board.release_control(gone.id, world.app_key, world.now)
    world.events()

    world.board.merge_users(world.user.id, twin.id, now=world.now, conversations=(kept.id, gone.id))

    (event,) = world.events()
    assert event["type"] == "user:merge"
    assert event["payload"]["mergedUsers"]["discarded"]["id"] == twin.id
    assert event["payload"]["mergedConversations"]["surviving"]["id"] == kept.id
    assert event["payload"]["mergedConversations"]["discarded"]["id"] == gone.id
    assert world.board.holder(kept.id) == holder
    if holder != WORKSPACE:
        assert world.board.history[-1].cause is Cause.MERGE
    with pytest.raises(ApiError, match="conversation_not_found"):
        world.board.get_conversation(gone.id)


def test_merge_of_users_alone(world: Any) -> None:
    """Without merged conversations, the discarded user's conversations move over."""
    twin = world.board.create_user("Sam on the phone")
    other = world.board.create_conversation(twin, now=world.now)
    world.events()

    world.board.merge_users(world.user.id, twin.id, now=world.now)

    assert "mergedConversations" not in world.events()[0]["payload"]
    assert other.user_id == world.user.id


def test_observers_get_each_entry(world: Any) -> None:
    """Every entry of the history reaches the observers, in order."""
    seen: list[Any] = []
    world.board.observers.append(seen.append)

    conversation = world.conversation()
    world.board.user_ends(conversation.id, now=world.now)

    assert seen == list(world.board.history)
    assert [entry.number for entry in seen] == list(range(len(seen)))


def test_history_answers_who_held_when(world: Any) -> None:
    """`holder_at` tells the holder at any moment, and messages carry who held when they were said."""
    conversation = world.conversation()
    early = conversation.messages[0].received
    world.board.pass_control(conversation.id, world.bot_key, WORKSPACE, world.now)
    world.says(conversation, "too late", metadata={"id": "m1"})

    history = world.board.history
    assert history.holder_at(conversation.id, early) == BOT
    assert history.holder_at(conversation.id, world.now) == WORKSPACE
    late = history.of(conversation.id, Kind.MESSAGE)[-1]
    assert (late.actor, late.holder, late.metadata, late.ended) == ("int_bot", WORKSPACE, {"id": "m1"}, False)
    assert history.conversations() == [conversation.id]
    assert list(history[:1]) == [history[0]]


def test_people_and_conversations_that_are_gone(world: Any) -> None:
    """Nobody can act where the conversation or the person no longer exists."""
    conversation = world.conversation()
    world.board.remove_user(world.user.id, now=world.now)

    assert not world.board.can_write(conversation.id)
    assert world.board.holder(conversation.id) is None
    with pytest.raises(NotPossibleError):
        world.board.user_says(conversation.id, "hello?", now=world.now)
    with pytest.raises(NotPossibleError):
        world.board.create_conversation(world.user, now=world.now)
    with pytest.raises(ApiError, match="user_not_found"):
        world.board.remove_user(world.user.id, now=world.now)


def test_conversation_metadata_is_shown(world: Any) -> None:
    """A conversation's own metadata comes in its events."""
    conversation = world.conversation()
    conversation.metadata["lang"] = "en"

    world.board.user_says(conversation.id, "hi", now=world.now)

    assert world.events()[0]["payload"]["conversation"]["metadata"] == {"lang": "en"}
