"""What a delivery is answered, and what is stored of it."""

from __future__ import annotations

import json
import threading
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import pytest
from webhook_samples import KEY, NOON, Reports, Shelf, delivery, event, in_conversation, message

from webhooks import wire
from webhooks.events import InvalidEventError, parse_event
from webhooks.inbox import NewEvent, NotStoredError
from webhooks.intake import STREAK_TIMEOUT, Answer, FailureStreak, Intake, Receipt, read_delivery
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
        (b'{"webhook":{"version":"v2"},"events":[' + b"[" * 5000, "not JSON"),
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


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (NotStoredError("full"), {"events": 1, "times": 1, "reason": "full"}),
        (RuntimeError("disk"), {"events": 1, "times": 1, "error": "RuntimeError"}),
    ],
)
async def test_what_is_not_stored_is_not_accepted(error: Exception, why: dict[str, object]) -> None:
    """503, so that the platform delivers again; the reason is reported. A bug's message may quote an event."""
    reports = Reports()
    intake = Intake(Shelf(error), Secrets([*KEY.values()]), _clock, report=reports)
    answer = await intake.receive(KEY, delivery(message()))
    assert (answer.status, answer.retry_after) == (503, 5)
    ((event, level, fields),) = reports.calls
    assert (event, level) == ("delivery_not_stored", "warning" if isinstance(error, NotStoredError) else "error")
    assert dict(fields) | why == dict(fields)
    assert "disk" not in str(fields)


def test_a_spell_of_failures_is_told_rarely() -> None:
    """At once, and after 1, 4 and 16 minutes; ten minutes without one end it."""
    streak = FailureStreak()
    told = [(second, streak.times) for second in range(1200) if streak.should_log(NOON + timedelta(seconds=second))]
    assert told == [(0, 1), (60, 61), (240, 241), (960, 961)]
    assert streak.should_log(NOON + timedelta(seconds=1199) + STREAK_TIMEOUT)
    assert streak.times == 1


def test_failures_far_apart_skip_no_line() -> None:
    """One after five minutes is told once, though two lines were due."""
    streak = FailureStreak()
    assert [streak.should_log(NOON + timedelta(minutes=minute)) for minute in (0, 5, 6)] == [True, True, False]


async def test_what_is_known_is_told_once() -> None:
    """While it is told elsewhere that nothing can be stored, the first delivery is a line, and no other."""
    minutes, known = count(), True
    now = lambda: NOON + timedelta(minutes=next(minutes))  # noqa: E731
    reports = Reports()
    intake = Intake(
        Shelf(NotStoredError("full")), Secrets([*KEY.values()]), now, is_known=lambda: known, report=reports
    )
    for _ in range(20):
        await intake.take(delivery(message()))
    assert len(reports.calls) == 1
    known = False
    for _ in range(60):
        await intake.take(delivery(message()))
    assert len(reports.calls) == 2


@pytest.mark.parametrize("error", [NotStoredError("full"), RuntimeError("disk")])
async def test_a_storm_fills_no_log(error: Exception) -> None:
    """A thousand deliveries that can't be stored are one line."""
    reports = Reports()
    intake = Intake(Shelf(error), Secrets([*KEY.values()]), lambda: NOON, report=reports)
    for _ in range(1000):
        assert (await intake.take(delivery(message()))).status == 503
    assert reports.names == ["delivery_not_stored"]


async def test_a_delivery_without_events_is_fine() -> None:
    """There is nothing to store, so nothing can fail."""
    assert (await _receive(delivery(), Shelf(NotStoredError("full")))).status == 200


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
    with pytest.raises(InvalidEventError):
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


async def test_whatever_is_nested_can_be_stored() -> None:
    """Whatever is read can be written again, and what is too deep to be read is left away."""
    for depth in range(150, 260):
        shelf = Shelf()
        body = delivery(in_conversation("x", deep="HERE")).replace(b'"HERE"', b"[" * depth + b"]" * depth)
        assert (await _receive(body, shelf)).status == 200
        assert parse_event(shelf.events[0].body).id == "e1"


DEEP = b"[" * 300 + b"]" * 300
MONSTROUS = b"9" * 5000


@pytest.mark.parametrize("damage", [DEEP, MONSTROUS, b"-" + MONSTROUS, b'{"a":' * 300 + b"1" + b"}" * 300])
@pytest.mark.parametrize("place", ["whole", "id", "type", "payload", "conversation", "text", "metadata"])
async def test_an_event_that_is_too_much_costs_only_itself(damage: bytes, place: str) -> None:
    """Its neighbours are stored as ever, and so is what can be read of it."""
    shelf = Shelf()
    odd: Any = message(content={"type": "text", "text": "hi"}, metadata={"a": 1}, odd=1)
    match place:
        case "whole":
            odd = "HERE"
        case "id" | "type" | "payload":
            odd[place] = "HERE"
        case "conversation":
            odd["payload"]["conversation"] = "HERE"
        case _:
            odd["payload"]["message"]["content" if place == "text" else place][place] = "HERE"
    body = delivery(message(), odd, message()).replace(b'"HERE"', damage).replace(b'"e1"', b'"first"', 1)
    body = body[::-1].replace(b'"1e"', b'"tsal"', 1)[::-1]
    assert (await _receive(body, shelf)).status == 200
    assert {"first", "last"} <= {stored.id for stored in shelf.events if stored.conversation_id}
    assert len(shelf.events) == 3
    assert [wire.write_json(wire.read_json(stored.body)) for stored in shelf.events] == [e.body for e in shelf.events]
    if place in ("text", "metadata"):
        assert parse_event(shelf.events[1].body).id == "e1"


@pytest.mark.parametrize("name", [".", "..", "", 1.5, "x" * 256])
async def test_a_conversation_that_cannot_be_addressed_is_refused(name: object) -> None:
    """The event is set aside: no call of the API could ever name that conversation."""
    shelf = Shelf()
    posted = message()
    posted["payload"]["conversation"]["id"] = name
    assert (await _receive(delivery(posted, event("a", id="e2")), shelf)).status == 200
    assert [stored.conversation_id for stored in shelf.events] == [None, None]
    with pytest.raises(InvalidEventError):
        parse_event(shelf.events[0].body)


@pytest.mark.parametrize(
    ("app", "status"),
    [
        ({"id": "a1"}, 200),
        ({"id": "a2"}, 403),
        ({"id": 7}, 403),
        ({"id": "A1"}, 403),
        ({"id": "line\nbreak"}, 200),
        ({"id": None}, 200),
        ({}, 200),
        ("a2", 200),
        (None, 200),
    ],
)
async def test_only_the_bots_own_app_may_deliver(app: object, status: int) -> None:
    """Another app's conversations are none of the bot's; where no app is named, the key is enough."""
    shelf, receipts = Shelf(), list[Receipt]()
    intake = Intake(shelf, Secrets(["s3cret"]), _clock, receipts.append, "a1")
    envelope = {"app": app, "webhook": {"version": "v2"}, "events": [message()]}
    answer = await intake.receive(KEY, json.dumps(envelope).encode())
    assert (answer.status, len(shelf.events)) == (status, int(status == 200))
    assert ("SUNSHINE_APP_ID" in receipts[0].reason) == (status == 403)


@pytest.mark.parametrize(("events", "status"), [(2_000, 200), (2_001, 413)])
async def test_a_delivery_holds_a_bounded_number_of_events(events: int, status: int) -> None:
    """Each costs time, however small it is."""
    shelf = Shelf()
    assert (await _receive(delivery(*range(events)), shelf)).status == status
    assert len(shelf.events) == (events if status == 200 else 0)


async def test_a_large_delivery_is_read_beside_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a thread: the other deliveries need not wait for it."""
    threads: list[int] = []

    def read(*given: Any) -> list[NewEvent]:
        threads.append(threading.get_ident())
        return read_delivery(*given)

    monkeypatch.setattr("webhooks.intake.read_delivery", read)
    shelf = Shelf()
    for text in ("small", "x" * 70_000):
        assert (await _receive(delivery(message(text=text)), shelf)).status == 200
    assert threads[0] == threading.get_ident()
    assert threads[1] != threading.get_ident()


async def test_each_answer_is_observed() -> None:
    """Metrics hear the status, the number of stored events and the seconds."""
    times = iter(NOON + timedelta(milliseconds=250 * tick) for tick in range(20))
    receipts: list[Receipt] = []
    intake = Intake(Shelf(), Secrets(["s3cret"]), lambda: next(times), receipts.append)
    await intake.receive(KEY, delivery(message(), event("a", id="e2")))
    await intake.receive({}, b"")
    await intake.receive(KEY, b"")
    intake.refuse_too_large(9)
    told = [(receipt.status, receipt.events, receipt.seconds) for receipt in receipts]
    assert told == [(200, 2, 0.25), (401, 0, 0.25), (400, 0, 0.25), (413, 0, 0.25)]
    assert receipts[-1].reason == "the delivery has more than 9 bytes"


async def test_only_what_was_stored_is_recorded() -> None:
    """With the time that it came, and as posted."""
    recorded: list[tuple[datetime, bytes]] = []
    shelf, body = Shelf(), delivery(message())
    intake = Intake(shelf, Secrets(["s3cret"]), _clock, record=lambda at, body: recorded.append((at, body)))
    await intake.receive(KEY, body)
    await intake.receive({}, body)
    await intake.receive(KEY, b"{")
    shelf.error = NotStoredError("full")
    await intake.receive(KEY, body)
    assert recorded == [(NOON, body)]
