"""The results of reading a conversation, parsed from the platform's JSON.

An answer of unexpected shape is an error, never "nobody is active": that would be a false
proof.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bot.control.state import Integration
from bot.sunshine.errors import NoAnswer
from bot.sunshine.replies import Reply


@dataclass(frozen=True, slots=True)
class ConversationSnapshot:
    """The control state of a conversation.

    Attributes:
        id: the conversation's id.
        active: the active switchboard integration; None if nobody is active.
        pending: the integration that control is offered to, if any.
        at: the time from which this is certain, by the platform's clock if known.
    """

    id: str
    active: Integration | None
    pending: Integration | None
    at: datetime


@dataclass(frozen=True, slots=True)
class MessagePage:
    """A page of a conversation's messages.

    Attributes:
        messages: the API's objects, oldest first.
        has_more: whether there are older messages.
        before_cursor: the cursor of the next older page; None if there is none.
        at: the time from which this is certain, by the platform's clock if known.
    """

    messages: tuple[Mapping[str, Any], ...]
    has_more: bool
    before_cursor: str | None
    at: datetime


def to_snapshot(action: str, reply: Reply) -> ConversationSnapshot:
    """Parse the answer to `GET …/conversations/<id>`. Raises `NoAnswer` if invalid."""
    conversation = part(action, reply.body, "conversation")
    return ConversationSnapshot(
        id=text(action, conversation, "id"),
        active=_integration(action, conversation.get("activeSwitchboardIntegration")),
        pending=_pending(action, conversation.get("pendingSwitchboardIntegration")),
        at=reply.at,
    )


def to_page(action: str, reply: Reply) -> MessagePage:
    """Parse the answer to `GET …/conversations/<id>/messages`. Raises `NoAnswer` if invalid."""
    meta = reply.body.get("meta")
    meta = meta if isinstance(meta, Mapping) else {}
    cursor = meta.get("beforeCursor")
    return MessagePage(
        messages=parts(action, reply.body, "messages"),
        has_more=meta.get("hasMore") is True,
        before_cursor=cursor if isinstance(cursor, str) else None,
        at=reply.at,
    )


def part(action: str, body: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return the object `name` in an answer. Raises `NoAnswer` if there is none."""
    value = body.get(name)
    if not isinstance(value, Mapping):
        raise _unexpected(action, name)
    return value


def parts(action: str, body: Mapping[str, Any], name: str) -> tuple[Mapping[str, Any], ...]:
    """Return the list of objects `name` in an answer. Raises `NoAnswer` if there is none."""
    value = body.get(name)
    if not isinstance(value, list) or not all(isinstance(item, Mapping) for item in value):
        raise _unexpected(action, name)
    return tuple(value)


def text(action: str, body: Mapping[str, Any], name: str) -> str:
    """Return the string `name` in an answer. Raises `NoAnswer` if there is none."""
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise _unexpected(action, name)
    return value


def _integration(action: str, value: object) -> Integration | None:
    match value:
        case None:
            return None
        case {**fields}:
            keys = ("id", "name", "integrationType")
            id_, name, type_ = (_text_or_none(fields.get(key)) for key in keys)
            if known := id_ or name:
                return Integration(known, name, type_)
            raise _unexpected(action, "switchboard integration")
        case _:
            raise _unexpected(action, "switchboard integration")


def _pending(action: str, value: object) -> Integration | None:
    """Parse the pending integration; None if invalid, since no decision depends on it."""
    with suppress(NoAnswer):
        return _integration(action, value)
    return None


def _text_or_none(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _unexpected(action: str, name: str) -> NoAnswer:
    return NoAnswer(action, status=200, detail=f"the answer has no valid {name}")
