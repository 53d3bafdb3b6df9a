"""Events: each type has its class, what matters is required, anything else gives way."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from webhook_samples import ANNA, BOT, DESK, event, in_conversation, message

from webhooks import events, wire
from webhooks.events import (
    ControlOffered,
    ControlPassed,
    ControlPassFailed,
    ControlReleased,
    ConversationCreate,
    ConversationMessage,
    ConversationPostback,
    Event,
    InvalidEventError,
    Reason,
    UnknownEvent,
    UserMerge,
    event_time,
    event_user_ids,
    parse_event,
)

BEN = {"id": "ben"}
BY_ANNA = {"author": {"type": "user", "userId": "anna", "user": ANNA}}
MERGE = {"mergedUsers": {"surviving": ANNA, "discarded": BEN}}
DELIVERED = {"user": ANNA, "message": {"id": "m1"}, "isFinalEvent": True}
FAILED = {"error": {"code": "uncategorized_error", "message": "no"}}

CASES: list[tuple[str, dict[str, Any], str | None, set[str]]] = [
    ("ConversationCreate", in_conversation("conversation:create", user=ANNA), "c1", {"anna"}),
    ("ConversationCreate", in_conversation("conversation:create"), "c1", set()),
    ("ConversationJoin", in_conversation("conversation:join", user=ANNA), "c1", {"anna"}),
    ("ConversationLeave", in_conversation("conversation:leave", user=ANNA), "c1", {"anna"}),
    ("ConversationRemove", in_conversation("conversation:remove"), "c1", set()),
    ("ConversationMessage", message(**BY_ANNA), "c1", {"anna"}),
    ("ConversationMessage", message(author={"type": "user", "userId": "anna", "user": BEN}), "c1", {"anna", "ben"}),
    ("ConversationMessage", message(author={"userId": "anna"}), "c1", {"anna"}),
    ("ConversationMessage", message(author={"type": "business", "userId": "agent"}), "c1", set()),
    ("ConversationMessage", message(), "c1", set()),
    ("ConversationPostback", in_conversation("conversation:postback", user=ANNA, postback={}), "c1", {"anna"}),
    ("ConversationRead", in_conversation("conversation:read", activity=BY_ANNA), "c1", {"anna"}),
    ("ConversationRead", in_conversation("conversation:read"), "c1", set()),
    ("ConversationReferral", in_conversation("conversation:referral", user=ANNA, referral={}), "c1", {"anna"}),
    ("ConversationTyping", in_conversation("conversation:typing", activity=BY_ANNA), "c1", {"anna"}),
    ("MessageDelivered", in_conversation("conversation:message:delivery:channel", **DELIVERED), "c1", {"anna"}),
    ("MessageDelivered", in_conversation("conversation:message:delivery:user", **DELIVERED), "c1", {"anna"}),
    (
        "MessageDeliveryFailed",
        in_conversation("conversation:message:delivery:failure", **DELIVERED, **FAILED),
        "c1",
        {"anna"},
    ),
    ("ClientAdd", in_conversation("client:add", user=ANNA, client={"id": "x"}), "c1", {"anna"}),
    ("ClientRemove", event("client:remove", {"user": ANNA}), None, {"anna"}),
    ("ClientUpdate", event("client:update"), None, set()),
    ("UserMerge", event("user:merge", MERGE), None, {"anna", "ben"}),
    ("UserUpdate", event("user:update", {"user": ANNA}), None, {"anna"}),
    ("UserRemove", event("user:remove", {"user": ANNA}), None, {"anna"}),
    ("ControlPassed", in_conversation("switchboard:passControl"), "c1", set()),
    ("ControlReleased", event("switchboard:releaseControl", {"conversation": {"id": "c1"}}), "c1", set()),
    ("ControlOffered", in_conversation("switchboard:offerControl"), "c1", set()),
    ("ControlAccepted", in_conversation("switchboard:acceptControl"), "c1", set()),
    ("ControlPassFailed", in_conversation("switchboard:passControl:failure", **FAILED), "c1", set()),
    ("ControlOfferFailed", in_conversation("switchboard:offerControl:failure", **FAILED), "c1", set()),
    ("ControlAcceptFailed", in_conversation("switchboard:acceptControl:failure", **FAILED), "c1", set()),
    ("UnknownEvent", in_conversation("conversation:rated", user=ANNA), "c1", {"anna"}),
    ("UnknownEvent", event("flag:raised", {"user": {}}), None, set()),
    ("UnknownEvent", event("flag:raised", {"user": "anna"}), None, set()),
    ("UnknownEvent", event("flag:raised", [1]), None, set()),
]


@pytest.mark.parametrize(("name", "posted", "conversation", "users"), CASES)
def test_each_type_has_its_class(name: str, posted: dict[str, Any], conversation: str | None, users: set[str]) -> None:
    """The class follows from the type; it knows its conversation and the end users that it shows."""
    parsed = parse_event(json.dumps(posted).encode())
    assert type(parsed).__name__ == name
    assert (parsed.id, parsed.type) == ("e1", posted["type"])
    assert parsed.created_at == datetime(2026, 3, 1, 12, 0, 0, 500_000, tzinfo=UTC)
    assert wire.conversation_id(posted) == conversation
    assert event_user_ids(parsed) == users
    assert parse_event(posted) == parsed


def test_every_class_is_in_the_table() -> None:
    """A class that is added gets its line above."""
    assert {name for name, *_ in CASES} == {kind.__name__ for kind in events._CLASSES.values()} | {"UnknownEvent"}


@pytest.mark.parametrize(
    ("created_at", "expected"),
    [
        ("2026-03-01T12:00:00.500Z", datetime(2026, 3, 1, 12, 0, 0, 500_000, tzinfo=UTC)),
        ("2026-03-01T13:00:00+01:00", datetime(2026, 3, 1, 12, tzinfo=UTC)),
        ("2026-03-01 12:00:00", datetime(2026, 3, 1, 12, tzinfo=UTC)),
        (datetime(2026, 3, 1, 13, tzinfo=timezone(timedelta(hours=1))), datetime(2026, 3, 1, 12, tzinfo=UTC)),
        (datetime(2026, 3, 1, 12), datetime(2026, 3, 1, 12, tzinfo=UTC)),  # noqa: DTZ001 - naive on purpose
        (None, None),
        ("", None),
        ("soon", None),
        ("2026-03-01", None),
        ("2026-03-01Tnoon", None),
        ("1772366400000", None),
        (1772366400000, None),
        ("0001-01-01T00:00:00+14:00", None),
        ("0001-01-01T00:00:00Z", None),
        ("1999-12-31T23:59:59Z", None),
        ("2100-01-01T00:00:00Z", None),
        ("9999-12-31T23:59:59Z", None),
        ({}, None),
    ],
)
def test_when_an_event_was_made(created_at: object, expected: datetime | None) -> None:
    """A time is aware UTC; what can't be read as one counts as absent and fails nothing."""
    assert parse_event({**event("user:update", {"user": ANNA}), "createdAt": created_at}).created_at == expected


def test_a_message_without_created_at_happened_when_it_was_received() -> None:
    """`createdAt` may be absent; a message carries a second time."""
    received = message(received="2026-03-01T11:00:00Z")
    assert event_time(parse_event(received)) == datetime(2026, 3, 1, 12, 0, 0, 500_000, tzinfo=UTC)
    del received["createdAt"]
    assert event_time(parse_event(received)) == datetime(2026, 3, 1, 11, tzinfo=UTC)
    assert event_time(parse_event(event("user:update", {"user": ANNA}, createdAt=None))) is None


def _active(value: object) -> Event:
    return parse_event(
        event("switchboard:passControl", {"conversation": {"id": "c1", "activeSwitchboardIntegration": value}})
    )


def test_who_is_active_is_read_whole() -> None:
    """With all that is told of it, but for the id that nobody may compare; who is pending decides nothing."""
    offered = parse_event(
        event(
            "switchboard:offerControl",
            {
                "conversation": {
                    "id": "c1",
                    "activeSwitchboardIntegration": BOT,
                    "pendingSwitchboardIntegration": DESK,
                    "brandId": 5,
                }
            },
        )
    )
    assert isinstance(offered, ControlOffered)
    active = offered.payload.conversation.active_switchboard_integration
    assert active is not None
    assert (active.id, active.name, active.integration_type) == ("sw-bot", "bot", "custom")


def test_absent_and_null_mean_that_nobody_is_active() -> None:
    """The field is left out, or null, where there is none."""
    for posted in (in_conversation("switchboard:releaseControl"), event("switchboard:releaseControl", {})):
        posted["payload"] = {"conversation": {"id": "c1"}}
        released = parse_event(posted)
        assert isinstance(released, ControlReleased)
        assert released.payload.conversation.active_switchboard_integration is None
    passed = _active(None)
    assert isinstance(passed, ControlPassed)
    assert passed.payload.conversation.active_switchboard_integration is None


def _known_as(value: object) -> tuple[str, bool]:
    passed = _active(value)
    assert isinstance(passed, ControlPassed)
    active = passed.payload.conversation.active_switchboard_integration
    assert active is not None
    return active.id, active.is_known


@pytest.mark.parametrize("value", ["sw-bot", {}, {"id": None}, {"id": ""}, {"name": []}, {"name": "\n"}, [], 0, False])
def test_an_unreadable_holder_is_never_nobody(value: object) -> None:
    """Nobody active proves a release, so it must have been said. The rest of the event still counts."""
    assert _known_as(value) == ("", False)


@pytest.mark.parametrize(
    ("value", "known_as"),
    [
        ({"name": "bot"}, "bot"),
        ({"id": None, "name": "bot"}, "bot"),
        ({"id": {}, "name": "bot", "integrationType": 5}, "bot"),
        ({"id": "sw-bot", "name": None}, "sw-bot"),
        ({"id": 17, "name": "bot"}, "17"),
    ],
)
def test_an_integration_with_only_a_name_is_known_by_it(value: object, known_as: str) -> None:
    """Control actions take a name as well as an id."""
    assert _known_as(value) == (known_as, True)


@pytest.mark.parametrize(
    "posted",
    [
        event("conversation:typing", {"conversation": {"id": "c1", "pendingSwitchboardIntegration": {"id": []}}}),
        event("conversation:typing", {"conversation": {"id": "c1", "pendingSwitchboardIntegration": "desk"}}),
        in_conversation("conversation:message:delivery:user", message={"id": None}),
        in_conversation("conversation:message:delivery:channel"),
        in_conversation("conversation:message", message={"activity": {"type": "conversation:endedByUser"}}),
        event("client:add", {"conversation": {"id": {}}}),
        event("user:merge", {**MERGE, "mergedConversations": {"surviving": 1}}),
    ],
    ids=lambda posted: posted["type"],
)
def test_what_decides_nothing_costs_no_event(posted: dict[str, Any]) -> None:
    """A part on which nothing hangs may be broken or missing."""
    assert parse_event(posted).type == posted["type"]


@pytest.mark.parametrize(("type_", "moves"), [("switchboard:takeControl", True), ("conversation:star", False)])
def test_a_new_kind_of_switchboard_event_may_move_control(type_: str, moves: bool) -> None:
    """Only a read tells what it means."""
    unknown = parse_event(in_conversation(type_))
    assert isinstance(unknown, UnknownEvent)
    assert unknown.may_move_control is moves


@pytest.mark.parametrize(
    ("posted", "wrong"),
    [
        (b"{", "not JSON"),
        (b"[]", "not an object"),
        (b'"x"', "not an object"),
        ({}, "no type"),
        ({"id": "e1", "type": 5}, "no type"),
        (event("conversation:message", "x"), "payload"),
        ({"id": "e1", "type": "user:update"}, "payload"),
        (event("conversation:message", {"message": {"id": "m1"}}), r"payload\.conversation: Field required"),
        (event("conversation:remove", {"conversation": {"id": "\n"}}), r"payload\.conversation\.id: should be an id"),
        (in_conversation("conversation:message"), r"payload\.message"),
        (event("user:remove", {"user": {}}), r"payload\.user\.id"),
        (event("user:merge", {"mergedUsers": {"surviving": ANNA}}), r"payload\.mergedUsers\.discarded"),
        ({"type": "flag:raised", "payload": {"half": "\ud83d"}}, "not JSON"),
    ],
)
def test_what_is_required(posted: bytes | dict[str, Any], wrong: str) -> None:
    """The error names what is wrong."""
    with pytest.raises(InvalidEventError, match=wrong):
        parse_event(posted)


def test_an_error_quotes_nothing() -> None:
    """What a person wrote stays out of the logs."""
    posted = in_conversation("conversation:message", message=["my secret"], user="my secret")
    posted["payload"]["conversation"] = {"id": {"my": "my secret"}}
    with pytest.raises(InvalidEventError) as caught:
        parse_event(posted)
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_an_event_without_id_has_the_same_one_each_time() -> None:
    """An event can be understood without an id, and still takes effect only once."""
    posted = event("user:update", {"user": ANNA}, id=None)
    assert parse_event(posted).id == parse_event(json.dumps(posted, indent=1).encode()).id
    assert parse_event(posted).id.startswith("sha256:")


@pytest.mark.parametrize(
    ("reason", "opened"), [("startConversation", True), ("message", False), ("brandNew", False), (None, False)]
)
def test_opening_the_widget_is_no_contact(reason: str | None, opened: bool) -> None:
    """Only `startConversation` means that nobody wrote yet; a reason that is new is carried as it is."""
    created = parse_event(in_conversation("conversation:create", creationReason=reason))
    assert isinstance(created, ConversationCreate)
    assert created.widget_opened is opened
    assert created.payload.creation_reason == reason


@pytest.mark.parametrize(
    ("reason", "read"),
    [("ticketClosed", Reason.TICKET_CLOSED), ("transferToEmail", Reason.TRANSFER_TO_EMAIL), ("new", "new"), (7, None)],
)
def test_why_control_moved(reason: object, read: str | None) -> None:
    """Reasons compare with `Reason`; new ones are carried."""
    passed = parse_event(in_conversation("switchboard:passControl", reason=reason, metadata={"a": 1}))
    assert isinstance(passed, ControlPassed)
    assert passed.payload.reason == read


@pytest.mark.parametrize(
    ("error", "code"),
    [({"code": "switchboard_invalid_target"}, "switchboard_invalid_target"), ({}, ""), (None, ""), ("x", "")],
)
def test_why_control_did_not_move(error: object, code: str) -> None:
    """A failure has a code, empty where none was told."""
    failed = parse_event(in_conversation("switchboard:passControl:failure", error=error))
    assert isinstance(failed, ControlPassFailed)
    assert failed.payload.error.code == code


def test_a_postback_carries_what_was_clicked() -> None:
    """The button's payload and metadata."""
    clicked = parse_event(
        in_conversation("conversation:postback", user=ANNA, postback={"payload": "GO", "metadata": {"run": 1}})
    )
    assert isinstance(clicked, ConversationPostback)
    assert (clicked.payload.postback.payload, clicked.payload.postback.metadata) == ("GO", {"run": 1})
    assert clicked.payload.user is not None


def test_a_merge_may_merge_conversations_too() -> None:
    """Absent where none were merged."""
    both = {"surviving": {"id": "c1", "activeSwitchboardIntegration": DESK}, "discarded": {"id": "c2"}}
    merged = parse_event(event("user:merge", {**MERGE, "mergedConversations": both}))
    alone = parse_event(event("user:merge", {**MERGE, "mergedConversations": None}))
    assert isinstance(merged, UserMerge)
    assert isinstance(alone, UserMerge)
    assert merged.payload.merged_conversations is not None
    assert merged.payload.merged_conversations.discarded.id == "c2"
    assert alone.payload.merged_conversations is None


def test_an_unknown_event_keeps_its_payload() -> None:
    """It can be shown, and understood by a later version."""
    posted = event("flag:raised", {"flag": {"colour": "red"}})
    unknown = parse_event(posted)
    assert isinstance(unknown, UnknownEvent)
    assert (unknown.type, unknown.payload) == ("flag:raised", posted["payload"])


def test_a_message_that_says_little_is_understood() -> None:
    """Conversation and message id are enough."""
    bare = parse_event(message())
    assert isinstance(bare, ConversationMessage)
    assert (bare.payload.message.content.text, bare.payload.message.received) == (None, None)
