"""What a delivery is answered, and what is stored of it."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Any

import pytest
from webhook_samples import KEY, NOON, Shelf, delivery, event, in_conversation, message

from webhooks.events import InvalidEvent, parse_event
from webhooks.inbox import NotStored
from webhooks.intake import Answer, Intake, Receipt
from webhooks.security import Secrets


def _clock() -> datetime:
    return NOON


async def _receive(body: bytes, inbox: Shelf | None = None, headers: dict[str, str] = KEY) -> Answer:
    return await Intake(inbox or Shelf(), Secrets(["s3cret"]), _clock, None).receive(headers, body)


async def test_events_are_stored_and_then_answered() -> None:
    """200 means stored: each event, of whatever conversation, in order, with the time that it came."""
    shelf = Shelf()
    removed = event("user:remove", {"user": {"id": "anna"}}, id="e2")
    answer = await _receive(delivery(message(), removed), shelf)
    assert answer.status == 200
    assert [(e.id, e.conversation_id, e.type, e.received_at) for e in shelf.events] == [
        ("e1", "c1", "conversation:message", NOON),
        ("e2", None, "user:remove", NOON),
    ]


async def test_the_body_is_the_event_as_posted() -> None:
    """Keys that nobody knows are kept too."""
    shelf = Shelf()
    posted = message(novelty={"deep": [1, 2.5, None, True]})
    await _receive(delivery(posted), shelf)
    assert parse_event(shelf.events[0].body) == parse_event(posted)
    assert b'"novelty":{"deep":[1,2.5,null,true]}' in shelf.events[0].body


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"X-API-Key": "s3cret"}, 200),
        ({"x-api-key": "s3cret"}, 200),
        ({"Accept": "*/*", "X-Api-Key": "s3cret"}, 200),
        ({"X-API-Key": "wrong"}, 401),
        ({"X-API-Key": ""}, 401),
        ({"Authorization": "s3cret"}, 401),
        ({}, 401),
    ],
)
async def test_only_who_has_the_key_may_deliver(headers: dict[str, str], status: int) -> None:
    """A header's name has no case, its value has."""
    assert (await _receive(delivery(), headers=headers)).status == status


async def test_the_key_is_checked_before_anything_is_read() -> None:
    """Without the key not even the syntax is told."""
    assert (await _receive(b"no json", headers={})).status == 401


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        (b"", "not JSON"),
        (b"hello", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"webhook":{"version":"v2"},"events":[' + b"9" * 5000 + b"]}", "not JSON"),
        (b"[]", "not an object"),
        (b"null", "not an object"),
        (b'{"events": []}', "webhook.version"),
        (b'{"webhook": "v2", "events": []}', "webhook.version"),
        (b'{"webhook": {"version": "v1"}, "events": []}', "webhook.version"),
        (b'{"webhook": {"version": "v2"}}', "events is not a list"),
        (b'{"webhook": {"version": "v2"}, "events": {}}', "events is not a list"),
    ],
)
async def test_what_is_no_delivery_is_refused(body: bytes, wrong: str) -> None:
    """400 says what is wrong, and nothing is stored."""
    shelf = Shelf()
    answer = await _receive(body, shelf)
    assert (answer.status, wrong in answer.reason, shelf.events) == (400, True, [])


@pytest.mark.parametrize("error", [NotStored("full"), RuntimeError("disk")])
async def test_what_is_not_stored_is_not_accepted(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    """503, so that the platform delivers again; the reason is in the log."""
    with caplog.at_level(logging.WARNING):
        answer = await _receive(delivery(message()), Shelf(error))
    assert (answer.status, answer.retry_after) == (503, 5)
    assert str(error) in caplog.text + str(vars(caplog.records[-1]))


async def test_a_delivery_without_events_is_fine() -> None:
    """There is nothing to store, so nothing can fail."""
    assert (await _receive(delivery(), Shelf(NotStored("full")))).status == 200


async def test_an_event_without_a_usable_id_gets_one() -> None:
    """The same on a retry, and the same that the parsed event has."""
    first, again = Shelf(), Shelf()
    posted: list[dict[str, Any]] = [message(), message(text="other")]
    posted[0]["id"], posted[1]["id"] = "nul\0", None
    await _receive(delivery(*posted), first)
    await _receive(delivery(*posted), again)
    ids = [stored.id for stored in first.events]
    assert ids == [stored.id for stored in again.events]
    assert ids == [parse_event(stored.body).id for stored in first.events]
    assert len(set(ids)) == 2
    assert all(id_.startswith("sha256:") for id_ in ids)


@pytest.mark.parametrize("entry", [None, 5, "text", [], [{"id": "e1"}], True])
async def test_an_entry_that_is_no_object_blocks_nothing(entry: object) -> None:
    """It is stored to be shown, and the rest is stored as ever."""
    shelf = Shelf()
    assert (await _receive(delivery(entry, message()), shelf)).status == 200
    odd, good = shelf.events
    assert (odd.type, odd.conversation_id, odd.id.startswith("sha256:")) == ("unknown", None, True)
    assert good.id == "e1"
    with pytest.raises(InvalidEvent):
        parse_event(odd.body)


async def test_an_event_twice_in_one_delivery_is_stored_once() -> None:
    """The first one counts."""
    shelf = Shelf()
    await _receive(delivery(event("a"), event("b"), event("c", id="e2")), shelf)
    assert [(stored.id, stored.type) for stored in shelf.events] == [("e1", "a"), ("e2", "c")]


@pytest.mark.parametrize(
    "text", [rb"cut \ud83d", b"\xff\xfe", rb"nul \u0000", b'", "big": 1e999, "x": "', b'", "big": NaN, "x": "']
)
async def test_odd_content_is_stored(text: bytes) -> None:
    """A 400 is never retried, so a broken emoji must not cost a delivery."""
    shelf = Shelf()
    body = delivery(message(content={"type": "text", "text": "HERE"})).replace(b"HERE", text)
    assert (await _receive(body, shelf)).status == 200
    assert parse_event(shelf.events[0].body).id == "e1"


async def test_what_is_nested_as_deep_as_can_be_read_can_be_stored() -> None:
    """Whatever is read can be written again."""
    statuses = set()
    for depth in range(150, 260):
        body = delivery(in_conversation("x", deep="HERE")).replace(b'"HERE"', b"[" * depth + b"]" * depth)
        statuses.add((await _receive(body)).status)
    assert statuses == {200, 400}


async def test_each_answer_is_observed() -> None:
    """Metrics hear the status, the number of stored events and the seconds."""
    times = iter(NOON + timedelta(milliseconds=250 * tick) for tick in range(20))
    receipts: list[Receipt] = []
    intake = Intake(Shelf(), Secrets(["s3cret"]), lambda: next(times), receipts.append)
    await intake.receive(KEY, delivery(message(), event("a", id="e2")))
    await intake.receive({}, b"")
    await intake.receive(KEY, b"")
    intake.refuse_too_large(9)
    assert receipts == [
        Receipt(200, 2, 0.25),
        Receipt(401, 0, 0.25),
        Receipt(400, 0, 0.25),
        Receipt(413, 0, 0.25),
    ]
