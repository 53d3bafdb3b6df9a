"""What a message is: whose, and whether it is the user's end."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from webhooks.messages import Message

USER = {"type": "user", "userId": "anna"}
BUSINESS = {"type": "business"}
SYSTEM = {"type": "business", "subtypes": ["activity"]}
DESK = {"type": "zd:agentWorkspace"}
AGENT_ID = "__zendesk_msg.agent.id"
ENDED = {"type": "conversation:endedByUser"}
CLOSED = {"type": "ticket:closed"}


def _message(**fields: object) -> Message:
    return Message.model_validate({"id": "m1", **fields})


@pytest.mark.parametrize(
    ("fields", "true_of_it"),
    [
        pytest.param({"author": USER}, {"is_from_user"}, id="user"),
        pytest.param({"author": USER, "activity": None}, {"is_from_user"}, id="null is no activity"),
        pytest.param({"author": BUSINESS, "source": DESK}, {"is_from_agent"}, id="agent"),
        pytest.param(
            {"author": BUSINESS, "source": {"type": "zd:agentWorkspace:v2"}},
            {"is_from_agent"},
            id="agent, new workspace",
        ),
        pytest.param(
            {"author": BUSINESS, "source": DESK, "metadata": {AGENT_ID: "361234"}}, {"is_from_agent"}, id="agent by id"
        ),
        pytest.param(
            {"author": BUSINESS, "source": DESK, "metadata": {AGENT_ID: 361234}}, {"is_from_agent"}, id="id as number"
        ),
        pytest.param(
            {"author": {**BUSINESS, "displayName": "Automated Response"}, "source": DESK, "metadata": {AGENT_ID: "7"}},
            {"is_from_agent"},
            id="an agent of that name",
        ),
        pytest.param(
            {"author": BUSINESS, "source": DESK, "metadata": {"type": "order"}}, {"is_from_agent"}, id="other metadata"
        ),
        pytest.param({"author": BUSINESS, "source": DESK, "metadata": {AGENT_ID: "__trigger"}}, set(), id="trigger"),
        pytest.param({"author": BUSINESS, "source": DESK, "metadata": {AGENT_ID: "__system"}}, set(), id="no person"),
        pytest.param(
            {"author": BUSINESS, "source": DESK, "metadata": {"__zendesk_msg.source_type": "sunco_web"}},
            set(),
            id="the workspace, and no agent",
        ),
        pytest.param(
            {"author": BUSINESS, "source": DESK, "metadata": {AGENT_ID: "", "__zendesk_msg.id": "m"}},
            set(),
            id="an empty agent",
        ),
        pytest.param(
            {"author": {**BUSINESS, "displayName": "Automated Response"}, "source": DESK}, set(), id="away message"
        ),
        pytest.param({"author": BUSINESS, "source": DESK, "metadata": {"type": "csat"}}, set(), id="rating asked for"),
        pytest.param({"author": BUSINESS, "source": {"type": "api"}}, set(), id="bot"),
        pytest.param({"author": BUSINESS}, set(), id="business, source not told"),
        pytest.param({"author": USER, "source": DESK}, {"is_from_user"}, id="the author decides who is user"),
        pytest.param({"author": {"type": "martian"}}, set(), id="author of a new type"),
        pytest.param({}, set(), id="no author"),
        pytest.param({"author": "anna", "source": 5, "content": 1, "metadata": 2}, set(), id="nothing readable"),
        pytest.param({"author": SYSTEM, "activity": ENDED}, {"is_activity", "is_users_end"}, id="end"),
        pytest.param({"author": USER, "activity": ENDED}, {"is_activity", "is_users_end"}, id="end by the user"),
        pytest.param({"activity": ENDED}, {"is_activity", "is_users_end"}, id="end by nobody"),
        pytest.param(
            {"author": BUSINESS, "source": DESK, "activity": ENDED}, {"is_activity", "is_users_end"}, id="end, by desk"
        ),
        pytest.param({"author": SYSTEM, "activity": CLOSED}, {"is_activity"}, id="another activity"),
        pytest.param({"author": SYSTEM}, {"is_activity", "may_be_end"}, id="activity not told"),
        pytest.param({"author": {"subtypes": ["activity"]}}, {"is_activity", "may_be_end"}, id="and no author type"),
        pytest.param({"author": USER, "activity": {}}, {"is_activity", "may_be_end"}, id="activity without type"),
        pytest.param({"author": USER, "activity": "x"}, {"is_activity", "may_be_end"}, id="activity that is no object"),
        pytest.param({"author": {"type": "user", "subtypes": "activity"}}, {"is_from_user"}, id="subtypes unreadable"),
        pytest.param({"author": {"type": "business", "subtypes": [7, "AI"]}}, set(), id="subtypes half readable"),
    ],
)
def test_what_a_message_is(fields: dict[str, object], true_of_it: set[str]) -> None:
    """An activity counts before the author does."""
    message = _message(**fields)
    questions = ("is_from_user", "is_from_agent", "is_activity", "is_users_end", "may_be_end")
    assert {question for question in questions if getattr(message, question)} == true_of_it


def test_the_parts_of_a_message() -> None:
    """What is told is read, in its Python names."""
    message = _message(
        received="2026-03-01T12:00:00Z",
        author={
            "type": "user",
            "subtypes": ["AI"],
            "userId": "anna",
            "displayName": "Anna",
            "user": {"id": "anna", "externalId": 77, "authenticated": True, "profile": {"email": "a@example.org"}},
        },
        content={"type": "text", "text": "Yes", "payload": "YES"},
        source={"type": "web", "integrationId": "i1"},
        metadata={"effect": "7"},
    )
    assert message.received == datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert (message.author.user_id, message.author.display_name, message.author.subtypes) == ("anna", "Anna", ["AI"])
    assert message.author.user is not None
    assert message.author.user.external_id == "77"
    assert message.author.user.authenticated is True
    assert message.author.user.profile == {"email": "a@example.org"}
    assert (message.content.type, message.content.text, message.content.payload) == ("text", "Yes", "YES")
    assert message.source is not None
    assert (message.source.type, message.source.integration_id) == ("web", "i1")
    assert message.metadata == {"effect": "7"}


def test_content_of_other_types_is_kept() -> None:
    """Pictures, places and answers to forms reach the flow as posted."""
    content = _message(content={"type": "formResponse", "fields": [{"name": "email"}], "mediaUrl": "u"}).content
    assert content.model_extra == {"fields": [{"name": "email"}], "mediaUrl": "u"}


def test_a_message_made_by_name_equals_the_one_read() -> None:
    """Messages can be made in tests and read from storage by their Python names."""
    read = _message(author={"userId": "anna"}, activity=ENDED)
    assert Message.model_validate(read.model_dump()) == read
    assert Message.model_validate_json(read.model_dump_json(by_alias=True)) == read
