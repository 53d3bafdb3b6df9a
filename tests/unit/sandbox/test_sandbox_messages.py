"""Posting and reading messages (docs/platform.md, section 5)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bot.sandbox import WORKSPACE, ApiError, NotPossibleError

Worlds = Callable[..., Any]


def test_post(world: Any) -> None:
    """A posted message comes back with id, time, source and metadata, and is listed."""
    conversation = world.conversation()

    message = world.says(conversation, "hello", metadata={"id": "m1"})

    assert message["metadata"] == {"id": "m1"}
    assert message["source"] == {"type": "api:conversations"}
    assert world.board.list_messages(conversation.id)["messages"][-1] == message


def test_no_idempotency_key(world: Any) -> None:
    """The same message posted twice is there twice."""
    conversation = world.conversation()

    world.says(conversation, "hello", metadata={"id": "m1"})
    world.says(conversation, "hello", metadata={"id": "m1"})

    assert [m.metadata for m in conversation.messages[-2:]] == [{"id": "m1"}] * 2


def test_standby_may_post(world: Any) -> None:
    """Nothing stops a standby integration from posting."""
    conversation = world.conversation(WORKSPACE)

    assert world.says(conversation, "excuse me")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"author": {"type": "user"}, "content": {"type": "text", "text": "x"}},
        {"author": {"type": "somebody"}, "content": {"type": "text", "text": "x"}},
        {"author": {"type": "business"}},
        {"author": {"type": "business"}, "content": {"type": "text"}},
        {"author": {"type": "business"}, "content": {"type": "text", "text": 5}},
        {"author": {"type": "business"}, "content": {"type": "smoke signal"}},
        {"author": {"type": "business"}, "content": {"type": "form"}},
        {"author": {"type": "business"}, "content": {"type": "text", "text": "x" * 4097}},
        {"author": {"type": "business"}, "content": {"type": "text", "actions": [{"type": "reply", "text": "x"}]}},
        {"author": {"type": "business"}, "content": {"type": "text", "actions": [{"type": "lever"}]}},
        {"author": {"type": "business"}, "content": {"type": "text", "text": "x"}, "metadata": {"a": []}},
        {"author": {"type": "business"}, "content": {"type": "text", "text": "x"}, "metadata": {"a": "x" * 4096}},
    ],
)
def test_bad_messages(world: Any, body: dict[str, Any]) -> None:
    """What the platform can't take is 400, and nothing is said."""
    conversation = world.conversation()

    with pytest.raises(ApiError) as caught:
        world.board.post_message(conversation.id, world.bot_key, body, world.now)

    assert caught.value.status == 400
    assert world.events() == []


def test_longest_text(world: Any) -> None:
    """4096 characters are allowed."""
    conversation = world.conversation()

    assert world.says(conversation, "x" * 4096)


def test_full_conversation(worlds: Worlds) -> None:
    """A conversation at its message limit answers 423 `locked`."""
    world = worlds(message_limit=2)
    conversation = world.conversation()
    world.says(conversation, "the last one")

    with pytest.raises(ApiError) as caught:
        world.says(conversation, "one too many")

    assert (caught.value.status, caught.value.code) == (423, "locked")


def test_pages(world: Any) -> None:
    """Pages of 100, oldest first, the newest page by default; cursors lead back and forth without gaps."""
    conversation = world.conversation()
    for number in range(249):
        world.board.user_says(conversation.id, str(number), now=world.now)

    newest = world.board.list_messages(conversation.id)
    middle = world.board.list_messages(conversation.id, before=newest["meta"]["beforeCursor"])
    oldest = world.board.list_messages(conversation.id, before=middle["meta"]["beforeCursor"])

    assert [len(page["messages"]) for page in (newest, middle, oldest)] == [100, 100, 50]
    assert [page["meta"]["hasMore"] for page in (newest, middle, oldest)] == [True, True, False]
    assert "beforeCursor" not in oldest["meta"]
    read = [m["id"] for page in (oldest, middle, newest) for m in page["messages"]]
    assert read == [message.id for message in conversation.messages]
    forth = world.board.list_messages(conversation.id, after=oldest["meta"]["afterCursor"])
    assert forth["messages"] == middle["messages"]


@pytest.mark.parametrize("cursors", [{"before": "none"}, {"before": "a", "after": "b"}])
def test_bad_cursors(world: Any, cursors: dict[str, str]) -> None:
    """An unknown cursor, or two at once, is 400."""
    conversation = world.conversation()

    with pytest.raises(ApiError, match="400"):
        world.board.list_messages(conversation.id, **cursors)


def test_quick_reply_answer(world: Any) -> None:
    """The answer to a quick reply is a text message of the user with the payload."""
    conversation = world.conversation()

    world.board.user_says(conversation.id, "Good", "GOOD", now=world.now)

    assert world.events()[0]["payload"]["message"]["content"] == {"type": "text", "text": "Good", "payload": "GOOD"}


def test_form_response(world: Any) -> None:
    """A form is answered by a formResponse that quotes the form in each field."""
    conversation = world.conversation()
    fields = [
        {"type": "email", "name": "mail", "label": "E-mail"},
        {"type": "select", "name": "size", "label": "Size", "options": [{"name": "l", "label": "Large"}]},
    ]
    body = {"author": {"type": "business"}, "content": {"type": "form", "fields": fields}}
    form = world.board.post_message(conversation.id, world.bot_key, body, world.now)["messages"][0]
    world.events()

    world.board.user_submits(conversation.id, form["id"], {"mail": "a@b.example", "size": "l"}, now=world.now)

    content = world.events()[0]["payload"]["message"]["content"]
    assert content["type"] == "formResponse"
    assert content["fields"][0]["email"] == "a@b.example"
    assert content["fields"][1]["select"] == [{"name": "l", "label": "l"}]
    assert {field["quotedMessageId"] for field in content["fields"]} == {form["id"]}
    with pytest.raises(NotPossibleError, match="not a form"):
        world.board.user_submits(conversation.id, conversation.messages[0].id, {}, now=world.now)


@pytest.mark.parametrize("kind", ["typing:start", "typing:stop", "conversation:read"])
def test_activity(world: Any, kind: str) -> None:
    """Typing signs of the business are taken, and told to nobody."""
    conversation = world.conversation()

    world.board.post_activity(conversation.id, {"author": {"type": "business"}, "type": kind})

    assert world.events() == []


def test_bad_activity(world: Any) -> None:
    """An unknown activity is 400."""
    conversation = world.conversation()

    with pytest.raises(ApiError, match="400"):
        world.board.post_activity(conversation.id, {"author": {"type": "business"}, "type": "yawning"})
