"""From the platform's events to facts: every class of event, with and without its time."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from control_samples import BOT, DESK, NOON, SECOND

from bot.control.facts import (
    AgentWrote,
    ControlFailed,
    ControlMoved,
    ControlUndated,
    EndSuspected,
    Fact,
    HolderSeen,
    PersonRemoved,
    Removed,
    UserEnded,
    UserSpoke,
    WidgetOpened,
)
from bot.control.reading import WAITED, facts_of, place_of, seen_late
from bot.control.state import Input, OpeningKind
from webhooks import wire
from webhooks.events import Event, parse_event

RECEIVED = NOON + SECOND
SAID = NOON - timedelta(minutes=1)

BOT_POSTED = {"id": "sw-bot", "name": "bot", "integrationId": "i1", "integrationType": "custom"}
DESK_POSTED = {"id": "sw-desk", "name": "zd-agentWorkspace", "integrationType": "zd:agentWorkspace"}
USER: dict[str, Any] = {"author": {"type": "user", "userId": "u1"}, "content": {"type": "text", "text": "hi"}}
AGENT: dict[str, Any] = {"author": {"type": "business"}, "source": {"type": "zd:agentWorkspace"}}
ENDING: dict[str, Any] = {"activity": {"type": "conversation:endedByUser"}}
UNTOLD: dict[str, Any] = {"author": {"type": "business", "subtypes": ["activity"]}}
SEEN = HolderSeen(NOON, BOT)
SEEN_BY_PEOPLE = HolderSeen(NOON, BOT, apart=True)
SPOKE = UserSpoke(Input("e1", NOON, said_id="m1"), BOT)


def facts(type_: str, payload: dict[str, Any], *, dated: bool = True) -> tuple[Fact, ...]:
    """The facts of an event of the conversation `c1`, in which the bot is active unless the payload says otherwise."""
    posted = {"id": "e1", "type": type_, "payload": payload} | ({"createdAt": NOON.isoformat()} if dated else {})
    return facts_of(parse_event(posted), RECEIVED)


def inside(active: dict[str, Any] | None = BOT_POSTED, **payload: Any) -> dict[str, Any]:
    """A payload of the conversation `c1`."""
    shown = {"activeSwitchboardIntegration": active} if active else {}
    return {"conversation": {"id": "c1", **shown}, **payload}


def message(
    active: dict[str, Any] | None = BOT_POSTED, received: datetime | None = None, **told: Any
) -> dict[str, Any]:
    """A payload with a message."""
    when = {"received": received.isoformat()} if received else {}
    return inside(active, message={"id": "m1", **when, **told})


MERGED = {"mergedUsers": {"surviving": {"id": "u1"}, "discarded": {"id": "u2"}}}
MOVED = ControlMoved(NOON, BOT, None)


def tap_id(type_: str) -> str | None:
    """The id of a tap or referral that tells nothing but its time."""
    return wire.said_id({"type": type_, "createdAt": NOON.isoformat(), "payload": {}})


POSTBACK_ID, REFERRAL_ID = tap_id("conversation:postback"), tap_id("conversation:referral")


@pytest.mark.parametrize(
    ("type_", "payload", "expected"),
    [
        ("conversation:create", inside(), (SEEN,)),
        ("conversation:create", inside(creationReason="proactiveMessaging"), (SEEN,)),
        (
            "conversation:create",
            inside(creationReason="startConversation"),
            (SEEN, WidgetOpened(Input("e1", NOON, OpeningKind.CREATED))),
        ),
        ("conversation:join", inside(), (SEEN,)),
        ("conversation:leave", inside(), (SEEN,)),
        ("conversation:remove", inside(), (Removed(),)),
        ("conversation:message", message(**USER), (SEEN_BY_PEOPLE, SPOKE)),
        (
            "conversation:message",
            message(None, **USER),
            (HolderSeen(NOON, None, apart=True), UserSpoke(Input("e1", NOON, said_id="m1"))),
        ),
        ("conversation:message", message(received=SAID, **USER), (SEEN_BY_PEOPLE, SPOKE)),
        ("conversation:message", message(**AGENT), (SEEN_BY_PEOPLE, AgentWrote(NOON, "zd:agentWorkspace"))),
        ("conversation:message", message(author={"type": "business"}), (SEEN,)),
        ("conversation:message", message(author={"type": "user"}, **ENDING), (SEEN_BY_PEOPLE, UserEnded(NOON, "m1"))),
        (
            "conversation:message",
            message(author={"type": "business"}, **ENDING),
            (SEEN_BY_PEOPLE, UserEnded(NOON, "m1")),
        ),
        ("conversation:message", message(**(AGENT | ENDING)), (SEEN_BY_PEOPLE, UserEnded(NOON, "m1"))),
        ("conversation:message", message(**UNTOLD), (SEEN_BY_PEOPLE, EndSuspected(NOON))),
        ("conversation:message", message(**UNTOLD, activity={"type": "ticket:closed"}), (SEEN_BY_PEOPLE,)),
        ("conversation:message", message(**UNTOLD, activity={}), (SEEN_BY_PEOPLE, EndSuspected(NOON))),
        (
            "conversation:postback",
            inside(),
            (SEEN_BY_PEOPLE, UserSpoke(Input("e1", NOON, OpeningKind.POSTBACK, POSTBACK_ID), BOT)),
        ),
        (
            "conversation:referral",
            inside(),
            (SEEN_BY_PEOPLE, UserSpoke(Input("e1", NOON, OpeningKind.REFERRAL, REFERRAL_ID), BOT)),
        ),
        ("conversation:read", inside(), (SEEN,)),
        ("conversation:typing", inside(), (SEEN,)),
        ("conversation:message:delivery:channel", inside(message={"id": "m1"}), (SEEN,)),
        ("conversation:message:delivery:user", inside(message={"id": "m1"}), (SEEN,)),
        ("conversation:message:delivery:failure", inside(message={"id": "m1"}), (SEEN,)),
        ("client:add", {}, ()),
        ("client:remove", {}, ()),
        ("client:update", {}, ()),
        ("user:merge", MERGED, (ControlUndated(),)),
        ("user:update", {"user": {"id": "u1"}}, ()),
        ("user:remove", {"user": {"id": "u1"}}, (PersonRemoved(),)),
        ("switchboard:passControl", inside(), (MOVED,)),
        ("switchboard:passControl", inside(DESK_POSTED), (ControlMoved(NOON, DESK, None),)),
        ("switchboard:passControl", inside(reason="ticketClosed"), (ControlMoved(NOON, BOT, "ticketClosed"),)),
        ("switchboard:passControl", inside(None), (ControlUndated(untold=True),)),
        ("switchboard:acceptControl", inside(), (MOVED,)),
        ("switchboard:acceptControl", inside(None), (ControlUndated(untold=True),)),
        ("switchboard:releaseControl", inside(None), (ControlMoved(NOON, None, None),)),
        ("switchboard:releaseControl", inside(reason="ticketClosed"), (ControlMoved(NOON, None, "ticketClosed"),)),
        ("switchboard:offerControl", inside(), (SEEN,)),
        ("switchboard:passControl:failure", inside(error={"code": "x"}), (SEEN, ControlFailed(NOON, "x"))),
        ("switchboard:offerControl:failure", inside(), (SEEN,)),
        ("switchboard:acceptControl:failure", inside(), (SEEN,)),
        ("something:new", inside(), ()),
    ],
)
def test_dated(type_: str, payload: dict[str, Any], expected: tuple[Fact, ...]) -> None:
    """An event with a time gives dated facts: who is active first, then what happened."""
    assert facts(type_, payload) == expected


UNDATED = ControlUndated()
LATE_SEEN = HolderSeen(SAID, BOT, late=True, apart=True)


@pytest.mark.parametrize(
    ("type_", "payload", "expected"),
    [
        ("conversation:create", inside(), ()),
        ("conversation:typing", inside(), ()),
        ("conversation:remove", inside(), (Removed(),)),
        (
            "conversation:message",
            message(received=SAID, **USER),
            (LATE_SEEN, UserSpoke(Input("e1", SAID, said_id="m1"), BOT, late=True)),
        ),
        ("conversation:message", message(received=SAID, **ENDING), (LATE_SEEN, UserEnded(SAID, "m1", late=True))),
        ("conversation:message", message(**USER), (UNDATED, UserSpoke(Input("e1", RECEIVED, said_id="m1"), BOT))),
        ("conversation:message", message(**ENDING), (UNDATED, UserEnded(RECEIVED, "m1"))),
        ("conversation:message", message(**AGENT), (UNDATED, AgentWrote(RECEIVED, "zd:agentWorkspace"))),
        ("conversation:message", message(**UNTOLD), (UNDATED, EndSuspected(RECEIVED))),
        ("conversation:postback", inside(), (UNDATED, UserSpoke(Input("e1", RECEIVED, OpeningKind.POSTBACK), BOT))),
        ("conversation:referral", inside(), (UNDATED, UserSpoke(Input("e1", RECEIVED, OpeningKind.REFERRAL), BOT))),
        ("switchboard:passControl", inside(), (ControlUndated(BOT),)),
        ("switchboard:passControl", inside(reason="ticketClosed"), (ControlUndated(BOT, "ticketClosed"),)),
        ("switchboard:acceptControl", inside(), (ControlUndated(BOT),)),
        ("switchboard:releaseControl", inside(None), (UNDATED,)),
        ("switchboard:offerControl", inside(), ()),
        ("switchboard:passControl:failure", inside(error={"code": "x"}), (UNDATED, ControlFailed(RECEIVED, "x"))),
        ("user:merge", MERGED, (UNDATED,)),
    ],
)
def test_undated(type_: str, payload: dict[str, Any], expected: tuple[Fact, ...]) -> None:
    """Without a time nothing is told of who is active, but a read is asked for; a message has its own time."""
    assert facts(type_, payload, dated=False) == expected


@pytest.mark.parametrize(("waited", "late"), [(WAITED, False), (WAITED + SECOND, True)])
def test_what_has_waited_long_is_late(waited: timedelta, late: bool) -> None:
    """Events that came after it may have been lost meanwhile."""
    event = {"id": "e1", "type": "switchboard:releaseControl", "createdAt": NOON.isoformat(), "payload": inside(None)}
    (fact,) = facts_of(parse_event(event), RECEIVED, RECEIVED + waited)
    assert fact == ControlMoved(NOON, None, None, late)


def arrived(*times: float) -> list[tuple[Event, datetime]]:
    """Messages of agents in the order of their arrival, each with the time that its clock showed."""
    events = []
    for number, seconds in enumerate(times):
        posted = {"id": f"e{number}", "type": "conversation:message", "payload": inside(message=AGENT)}
        at = NOON + timedelta(seconds=seconds)
        events.append((parse_event({**posted, "createdAt": at.isoformat()}), NOON + timedelta(minutes=1)))
    return events


@pytest.mark.parametrize(
    ("times", "again"),
    [((0, 5), []), ((5, 4.5), [4.5]), ((5, 0), []), ((5, 4.5, 4.2, 5), [4.5, 4.2])],
)
def test_what_came_after_something_slightly_newer_is_seen_again(times: tuple[float, ...], again: list[float]) -> None:
    """It may be the newer one, by a clock that is behind."""
    seen = [fact for fact in seen_late(arrived(*times)) if isinstance(fact, HolderSeen)]
    assert [(fact.at - NOON).total_seconds() for fact in seen] == again


def test_no_event_takes_its_place_after_its_arrival() -> None:
    """Whatever its clock says."""
    ((event, _),) = arrived(0.5)
    assert [place_of(event, NOON + timedelta(seconds=after)) - NOON for after in (0, 2)] == [
        timedelta(0),
        timedelta(seconds=0.5),
    ]
