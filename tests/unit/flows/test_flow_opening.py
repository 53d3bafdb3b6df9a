"""What began a flow: all that the first message carried, for the flow and for the router."""

from __future__ import annotations

from typing import Any

import pytest

from bot import Attachment, Began, Chat, Flow, Location, Purpose, Router
from bot.control.state import Opening, OpeningKind, Run, RunStatus
from bot.engine.flow_task import _began, _beginning
from bot.testing.talk import Talk
from bot.testing.talks import ChatWith
from webhooks.events import parse_event

URL = "https://files.example.com/damage.jpg"
FILE = "https://files.example.com/invoice.pdf"

seen: list[tuple[str, Began]] = []


@pytest.fixture(autouse=True)
def _forget() -> None:
    seen.clear()


async def _looks(chat: Chat) -> None:
    seen.append(("flow", chat.opening))
    await chat.ask("And?")
    seen.append(("again", chat.opening))


LOOKS = Flow("looks", _looks)


def _chooses(began: Began, purpose: Purpose) -> Flow:
    seen.append((purpose, began))
    return LOOKS


async def _begin(talk: Talk, how: str) -> None:
    match how:
        case "words":
            await talk.user("Where is it?", metadata={"page": "/orders", "vip": True})
        case "picture":
            await talk.sends_image(URL, altText="the damage", mediaSize=1234, text="look")
        case "file":
            await talk.sends_file(FILE, mediaType="application/pdf")
        case "place":
            await talk.sends_location(48.2, 16, location={"name": "Here", "address": "Main Street 1"})
        case "form":
            await talk.sends_form(name="Ada", mail="ada@example.com")
        case _:
            assert how == "ad"
            await talk.comes_by("summer", source="instagram:ad", adId="4711")


EXPECTED: dict[str, dict[str, Any]] = {
    "words": {"kind": "message", "text": "Where is it?", "metadata": {"page": "/orders", "vip": True}},
    "picture": {
        "kind": "message",
        "text": "look",
        "attachments": (Attachment(URL, "image/jpeg", "the damage", 1234),),
    },
    "file": {"kind": "message", "text": "", "attachments": (Attachment(FILE, "application/pdf"),)},
    "place": {"kind": "message", "text": "", "location": Location(48.2, 16, "Here", "Main Street 1")},
    "form": {
        "kind": "message",
        "text": "name: Ada\nmail: ada@example.com",
        "fields": {"name": "Ada", "mail": "ada@example.com"},
    },
    "ad": {
        "kind": "referral",
        "text": "",
        "referral": "summer",
        "referral_details": {"code": "summer", "details": {"source": "instagram:ad", "adId": "4711"}},
    },
}
NOTHING: dict[str, Any] = {
    "attachments": (),
    "location": None,
    "fields": {},
    "metadata": {},
    "payload": None,
    "referral": None,
    "referral_details": {},
}


@pytest.mark.parametrize("how", EXPECTED)
async def test_what_the_first_message_carried_is_there(chat_with: ChatWith, how: str) -> None:
    """For the router, for the flow, and after a restart."""
    talk = chat_with(Router(_chooses), flows=[LOOKS], restart_every_turn=True)
    await _begin(talk, how)
    await talk.user("Here")
    assert [who for who, _ in seen] == ["opening", "flow", "flow", "again"]
    for _, began in seen:
        assert {name: getattr(began, name) for name in {*NOTHING, *EXPECTED[how]}} == {**NOTHING, **EXPECTED[how]}
    assert len({repr(began) for _, began in seen}) == 1


async def test_what_began_a_closing_flow_carries_nothing(chat_with: ChatWith) -> None:
    """No message has begun it."""
    await chat_with(closing=LOOKS, mode="pass").wait(seconds=1)
    ((_, began),) = seen
    assert (began.kind, began.message, began.attachments, began.metadata) == ("handback", {}, (), {})


def test_a_button_carries_its_metadata() -> None:
    """A conversation may begin with a tap on what was said long ago."""
    posted: dict[str, Any] = {
        "id": "e",
        "type": "conversation:postback",
        "createdAt": "2026-01-01T00:00:00.000Z",
        "payload": {"conversation": {"id": "c"}, "postback": {"payload": "buy", "metadata": {"item": "tea"}}},
    }
    event = parse_event(posted)
    assert event.created_at is not None
    at = event.created_at
    run = Run(1, Purpose.OPENING, Opening(OpeningKind.POSTBACK, "e"), at, RunStatus.READY, at, at)
    began = _began(_beginning(run, {"e": event})["began"])
    assert (began.kind, began.payload, began.metadata) == ("postback", "buy", {"item": "tea"})


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        ({"kind": "message", "text": "hi", "payload": None, "reason": None, "referral": None}, Began("message", "hi")),
        ({"kind": "ended", "of_a_later_version": 1}, Began("ended")),
    ],
)
def test_what_other_versions_have_stored_can_be_read(stored: dict[str, Any], expected: Began) -> None:
    """A flow that began before a deploy goes on after it, and before it is taken back."""
    assert _began(stored) == expected


@pytest.mark.parametrize("message", [{}, {"metadata": None}, {"metadata": "x"}, {"content": []}])
def test_what_can_not_be_read_is_not_there(message: Any) -> None:
    """Users' clients send what they like."""
    began = Began("message", message=message)
    assert (began.attachments, began.location, began.fields, began.metadata) == ((), None, {}, {})
