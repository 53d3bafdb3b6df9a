"""Who a flow talks to, and where: what webhooks tell, for the flow and for the router, and out of the journal."""

from __future__ import annotations

from typing import Any

import pytest

from bot import Chat, Conversation, Flow, Router, User
from bot.engine.identity import conversation_in, user_in
from bot.flows.identity import conversation_of, user_of
from bot.testing.talks import ChatWith
from webhooks.events import parse_event

ADA = User(
    name="Ada",
    email="ada@example.com",
    external_id="c-7",
    locale="de",
    authenticated=True,
    profile={"surname": "Lovelace"},
    metadata={"plan": "gold"},
)
seen: list[tuple[str, User, Conversation]] = []


@pytest.fixture(autouse=True)
def _forget() -> None:
    seen.clear()


async def _looks(chat: Chat) -> None:
    seen.append(("flow", chat.user, chat.conversation))
    await chat.ask("And?")
    seen.append(("again", chat.user, chat.conversation))


LOOKS = Flow("looks", _looks)


async def test_flow_and_router_know_who_is_there_and_where(chat_with: ChatWith) -> None:
    """From the first message on, and after a restart."""

    def chooses(began: Any, purpose: Any) -> Flow:
        seen.append((purpose, began.user, began.conversation))
        return LOOKS

    talk = chat_with(
        Router(chooses),
        flows=[LOOKS],
        user=ADA,
        conversation_metadata={"campaign": "spring"},
        restart_every_turn=True,
    )
    await talk.user("hi")
    await talk.user("more")
    assert [who for who, *_ in seen] == ["opening", "flow", "flow", "again"]
    assert len({repr(what) for _, *what in seen}) == 1
    _, user, conversation = seen[0]
    assert user.id
    assert (user.name, user.email, user.external_id, user.locale) == ("Ada", "ada@example.com", "c-7", "de")
    assert (user.authenticated, user.metadata, user.profile["surname"]) == (True, {"plan": "gold"}, "Lovelace")
    assert conversation.id == talk._visitor.conversation_id
    assert (conversation.brand_id, conversation.channel) == ("360000000001", "web")
    assert conversation.integration_id
    assert (conversation.metadata, conversation.participants) == ({"campaign": "spring"}, 1)


async def test_a_closing_flow_knows_the_conversation(chat_with: ChatWith) -> None:
    """A handback tells of nobody; what it tells of the conversation is there."""
    chat_with(closing=LOOKS, mode="pass", conversation_metadata={"campaign": "spring"})
    ((_, user, conversation),) = seen
    assert user == User()
    assert (conversation.metadata, conversation.channel) == ({"campaign": "spring"}, None)
    assert conversation.id


def _message(author: Any, conversation: Any, **more: Any) -> Any:
    message = {"id": "m", "author": author, "content": {"type": "text", "text": "hi"}, **more}
    return parse_event(
        {
            "id": "e",
            "type": "conversation:message",
            "payload": {"conversation": {"id": "c", **conversation}, "message": message},
        }
    )


@pytest.mark.parametrize(
    ("author", "user"),
    [
        ({"type": "user", "userId": "u"}, User("u")),
        ({"type": "user", "userId": "u", "displayName": "Ada L."}, User("u", "Ada L.")),
        ({"type": "user", "user": {"id": "u", "authenticated": False}}, User("u", authenticated=False)),
        (
            {"type": "user", "user": {"id": "u", "profile": {"givenName": "Ada", "surname": "Lovelace"}}},
            User("u", "Ada Lovelace", profile={"givenName": "Ada", "surname": "Lovelace"}),
        ),
        (
            {
                "type": "user",
                "user": {"id": "u", "identities": [{}, {"type": "email", "value": "a@b.c"}]},
            },
            User("u", email="a@b.c"),
        ),
        ({"type": "user", "user": {"id": "u", "profile": None, "metadata": "x", "identities": 7}}, User("u")),
    ],
)
def test_the_user_is_what_the_message_tells(author: Any, user: User) -> None:
    """Unknown is None, whatever shape the platform sends it in."""
    assert user_of(user_in(_message(author, {}))) == user


@pytest.mark.parametrize(
    ("told", "more", "conversation"),
    [
        ({}, {}, Conversation("c")),
        ({"type": "personal"}, {"source": {"type": "whatsapp"}}, Conversation("c", channel="whatsapp", participants=1)),
        ({"type": "sdkGroup"}, {}, Conversation("c")),
        ({"type": "sdkGroup", "participants": [{}, {}]}, {}, Conversation("c", participants=2)),
        ({"brandId": 360, "metadata": {"a": 1}}, {}, Conversation("c", brand_id="360", metadata={"a": 1})),
        ({"brandId": {}, "metadata": [], "participants": "?"}, {"source": 7}, Conversation("c")),
        ({}, {"source": {"type": "web", "integrationId": "i"}}, Conversation("c", channel="web", integration_id="i")),
    ],
)
def test_the_conversation_is_what_the_message_tells(told: Any, more: Any, conversation: Conversation) -> None:
    """By the same rule."""
    assert conversation_of(conversation_in(_message({"type": "user"}, told, **more))) == conversation


def test_a_brand_of_the_user_will_do() -> None:
    """Users may belong to one brand."""
    event = _message({"type": "user", "user": {"id": "u", "brandId": "9"}}, {})
    assert conversation_of(conversation_in(event)).brand_id == "9"


def test_what_began_a_run_may_be_unknown() -> None:
    """Its event was purged, or it was never stored."""
    assert (user_of(user_in(None)), conversation_of(conversation_in(None))) == (User(), Conversation())


def test_what_other_versions_have_stored_can_be_read() -> None:
    """An older one stored less, and a newer one may store more."""
    assert user_of({"id": "u", "name": None}) == User("u")
    assert user_of({"id": "u", "shoe_size": 42}) == User("u")
    assert conversation_of({"id": "c", "weather": "fine"}) == Conversation("c")
