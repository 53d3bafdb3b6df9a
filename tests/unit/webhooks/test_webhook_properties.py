"""Whatever comes in: no crash, no answer that blames us."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from webhook_samples import ANNA, BOT, KEY, NOON, Shelf, delivery

from webhooks import events, wire
from webhooks.events import InvalidEventError, event_time, event_user_ids, parse_event
from webhooks.intake import Intake
from webhooks.security import Secrets

MARK = "SECRETTEXT"

KEYS = st.sampled_from(
    sorted(
        {
            "id",
            "type",
            "createdAt",
            "created_at",
            "payload",
            "conversation",
            "message",
            "user",
            "events",
            "webhook",
            "version",
        }
        | {"activeSwitchboardIntegration", "pendingSwitchboardIntegration", "mergedUsers", "mergedConversations"}
        | {"author", "subtypes", "userId", "activity", "content", "text", "source", "metadata", "received", "profile"}
        | {"error", "code", "reason", "postback", "surviving", "discarded", "client", "referral"}
    )
)
TYPES = st.sampled_from([*events._CLASSES, "conversation:rated"])
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["v2", "user", "business", "activity", "2026-03-01T12:00:00Z", MARK, "half \ud83d", "nul\0"])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS | st.text(), inner, max_size=5),
    max_leaves=25,
)
CONVERSATIONS = st.fixed_dictionaries(
    {"id": st.just("c1")}, optional={"activeSwitchboardIntegration": VALUES | st.just(BOT)}
)
PAYLOADS = st.fixed_dictionaries(
    {},
    optional={
        "conversation": CONVERSATIONS | VALUES,
        "message": st.fixed_dictionaries(
            {"id": st.just("m1")},
            optional={"author": VALUES, "activity": VALUES, "content": VALUES, "source": VALUES, "metadata": VALUES},
        ),
        "user": st.just(ANNA) | VALUES,
        "mergedUsers": st.just({"surviving": ANNA, "discarded": ANNA}) | VALUES,
        "activity": VALUES,
        "error": VALUES,
        "reason": VALUES,
    },
)
EVENTS = st.fixed_dictionaries(
    {"type": TYPES, "payload": PAYLOADS | VALUES}, optional={"id": st.just("e1") | VALUES, "createdAt": VALUES}
)


def _read(posted: bytes | dict[str, Any]) -> None:
    try:
        parsed = parse_event(posted)
    except InvalidEventError as error:
        if MARK in str(error):
            raise AssertionError("the error quotes the event") from error
        return
    event_user_ids(parsed)
    event_time(parsed)
    repr(parsed)


def _receive(body: bytes) -> tuple[int, Shelf]:
    shelf = Shelf()
    intake = Intake(shelf, Secrets(["s3cret"]), lambda: NOON)
    return asyncio.run(intake.receive(KEY, body)).status, shelf


@given(VALUES | EVENTS)
def test_any_json_is_an_event_or_invalid(value: Any) -> None:
    """`parse_event` raises nothing but InvalidEventError, and quotes nothing."""
    _read(json.dumps(value).encode())
    if isinstance(value, dict):
        _read(value)


@given(st.binary())
def test_any_bytes_are_an_event_or_invalid(body: bytes) -> None:
    """Also what is not JSON."""
    _read(body)


@given(st.binary() | VALUES.map(lambda value: json.dumps(value).encode()))
def test_any_body_has_an_answer(body: bytes) -> None:
    """With an inbox that works, nothing that is posted is answered 5xx."""
    assert _receive(body)[0] in (200, 400)


@given(st.lists(EVENTS | VALUES, max_size=4))
def test_any_entries_are_stored(entries: list[Any]) -> None:
    """What is inside an envelope is stored, whatever it is, in a form that a database takes, under one id for all."""
    status, shelf = _receive(delivery(*entries))
    assert status == 200
    assert len({stored.id for stored in shelf.events}) == len(shelf.events)
    assert bool(shelf.events) == bool(entries)
    for stored in shelf.events:
        texts = (stored.id, stored.type, *([stored.conversation_id] if stored.conversation_id is not None else []))
        assert all(wire.identifier(text) == text for text in texts)
        json.loads(stored.body, parse_constant=_no_constant)
        try:
            parsed = parse_event(stored.body)
        except InvalidEventError:
            continue
        assert (parsed.id, parsed.type) == (stored.id, stored.type)
        in_one = getattr(parsed.payload, "conversation", None)
        assert in_one is None or in_one.id == stored.conversation_id


def _no_constant(name: str) -> None:
    """JSON has no such constant."""
    raise AssertionError(name)
