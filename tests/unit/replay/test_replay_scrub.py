"""A scrubbed tape: nobody can be found in it, and it plays the same."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bot.replay.facts import take_apart
from bot.replay.run import Setup, replay
from bot.replay.scrub import Scrubber, is_stand_in
from bot.replay.tape import TapedDelivery, read_tape, write_tape

TAPES = Path(__file__).parent.parent.parent / "tapes"
AT = datetime(2026, 1, 5, 9, tzinfo=UTC)
EVENT: dict[str, Any] = {
    "id": "5f0000000000000000000001",
    "createdAt": "2026-01-05T09:00:00.000Z",
    "type": "conversation:message",
    "payload": {
        "conversation": {
            "id": "5f0000000000000000000002",
            "type": "personal",
            "activeSwitchboardIntegration": {"id": "5f03", "name": "switchboard-bot", "integrationType": "custom"},
            "metadata": {"customer": "Jane Roe"},
        },
        "message": {
            "id": "5f0000000000000000000004",
            "received": "2026-01-05T09:00:00.000Z",
            "author": {
                "type": "user",
                "userId": "5f05",
                "displayName": "Jane Roe",
                "avatarUrl": "https://cdn.example.org/jane-roe.png",
                "user": {
                    "id": "5f05",
                    "externalId": "jane.roe@example.org",
                    "profile": {"givenName": "Jane", "surname": "Roe", "email": "jane.roe@example.org"},
                },
            },
            "content": {"type": "text", "text": "I am Jane Roe, 555-0100", "payload": "jane"},
            "newKey": ["Jane", {"deep": "Roe"}],
            "source": {"type": "web", "integrationId": "5f06", "client": {"raw": {"ip": "192.0.2.7", "n": 5550100}}},
        },
    },
}


def scrubbed(*events: dict[str, Any], secret: bytes = b"s") -> list[Any]:
    body = {"webhook": {"id": "5f07", "version": "v2"}, "events": list(events)}
    (delivery,) = Scrubber(secret).scrub([TapedDelivery(AT, body)])
    return delivery.events


def test_nothing_personal_is_left() -> None:
    """Names, addresses, texts, numbers, and what is not known."""
    text = json.dumps(scrubbed(EVENT)).lower()

    for personal in ("jane", "roe", "555", "192.0.2", "5f0000000000000000000002", "cdn.example.org"):
        assert personal not in text


CANARY = "Jane Roe <jane@roe.example>"
SHAPES: dict[str, Any] = {
    "content": {
        "type": "carousel",
        "text": "",
        "htmlText": "",
        "blockChatInput": True,
        "items": [
            {"title": "", "description": "", "mediaUrl": "", "mediaType": "", "actions": [{"uri": "", "text": ""}]}
        ],
        "fields": [{"name": "", "label": "", "text": "", "email": "", "select": [{"name": "", "label": ""}]}],
        "coordinates": {"lat": 1.25, "long": 9.75},
        "location": {"address": "", "name": ""},
        "altText": "",
        "attachmentId": "",
    },
    "client": {"type": "web", "externalId": "", "displayName": "", "info": {"ipAddress": "", "browser": "", "": ""}},
    "error": {"code": "bad", "message": "", "underlyingError": {"": ""}},
    "identities": [{"type": "email", "value": ""}],
    "profile": {"givenName": "", "surname": "", "email": "", "avatarUrl": "", "locale": ""},
}


def poisoned(value: Any) -> Any:
    """The same shape, with the canary in every text and in every key that is empty."""
    match value:
        case dict():
            return {key or CANARY: poisoned(one) for key, one in value.items()}
        case list():
            return [poisoned(one) for one in value]
        case str():
            return CANARY
        case _:
            return value


def words(value: Any) -> Iterator[str]:
    """Every key and every text in it."""
    match value:
        case dict():
            for key, one in value.items():
                yield key
                yield from words(one)
        case list():
            for one in value:
                yield from words(one)
        case str():
            yield value
        case _:
            pass


@pytest.mark.parametrize("tape", sorted(TAPES.glob("*.jsonl")), ids=lambda path: path.stem)
def test_no_text_gets_through_wherever_it_stands(tape: Path) -> None:
    """A canary in every text field of every event of the kept tapes, also where a type or a time belongs."""
    shown = {"activeSwitchboardIntegration": None}  # its name is the account's, and stays
    for delivery in read_tape(tape):
        events = [poisoned({**event, "payload": {**event["payload"], **SHAPES}}) for event in delivery.events]
        for event in events:
            event["payload"].get("conversation", {}).update(shown)
            event["payload"].get("message", {}).get("metadata", {})["_x"] = CANARY

        left = [word for event in scrubbed(*events) for word in words(event)]

        assert left
        assert not [word for word in left if re.search(r"jane|roe|<|\s@", word, re.IGNORECASE)]
    assert "jane" not in json.dumps(scrubbed({"payload": {"coordinates": {"lat": 1.25}}, CANARY: 1})).lower()
    assert "1.25" not in json.dumps(scrubbed({"payload": SHAPES}))


def test_what_matters_to_the_bot_is_kept() -> None:
    """Types, times, who is active."""
    (event,) = scrubbed(EVENT)
    payload = event["payload"]

    assert event["type"] == EVENT["type"]
    assert event["createdAt"] == EVENT["createdAt"]
    assert payload["conversation"]["activeSwitchboardIntegration"]["name"] == "switchboard-bot"
    assert payload["message"]["author"]["type"] == "user"
    assert payload["message"]["content"]["type"] == "text"
    assert is_stand_in(payload["message"]["content"]["text"])


def test_the_same_becomes_the_same() -> None:
    """Within a tape, and on other tapes with the same secret; and not with another."""
    one, other = scrubbed(EVENT, EVENT)

    assert one == other
    assert one == scrubbed(EVENT)[0]
    assert one != scrubbed(EVENT, secret=b"t")[0]
    author = one["payload"]["message"]["author"]
    assert author["userId"] == author["user"]["id"]


def test_what_happened_at_the_same_moment_stays_in_order(tmp_path: Path) -> None:
    """Ids no longer tell it, so the order of the tape does."""
    deliveries = list(read_tape(TAPES / "ended_mid_flow.jsonl"))
    before = [one.raw["type"] for one in take_apart(deliveries).happened]

    for number in range(10):
        after = take_apart(Scrubber(b"secret %d" % number).scrub(deliveries)).happened
        assert [one.raw["type"] for one in after] == before


def test_a_scrubbed_tape_plays_the_same(tmp_path: Path) -> None:
    """The same control actions, and nothing diverged by a text that was replaced."""
    setup = Setup(("bot.sandbox.demo_flows", "bot.flows.survey"), "demo")
    for name in ("ended_mid_flow", "agent_writes", "another_takes", "abandoned_release", "ended_with_agent_kept"):
        tape, mode = TAPES / f"{name}.jsonl", "release" if "release" in name else "pass"
        write_tape(tmp_path / tape.name, Scrubber().scrub(read_tape(tape)))
        (before,) = replay([tape], setup, [mode])
        (after,) = replay([tmp_path / tape.name], setup, [mode])

        control = [
            [a.call for a in result.actions if a.call in ("ReleaseControl", "PassControl")]
            for result in (before, after)
        ]
        assert after.closed
        if name not in ("ended_mid_flow", "ended_with_agent_kept"):  # their flow goes by what the user said
            assert control[0] == control[1]
