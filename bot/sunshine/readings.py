"""What reads of a conversation return, and how it is found in the platform's JSON.

An answer of an unexpected shape is an error and never "nobody is active": that would be a false proof.
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
    """Who has a conversation.

    Attributes:
        id: the conversation's.
        active: the active switchboard integration; None: nobody.
        pending: the one that control is offered to, if any.
        at: the moment from which this surely holds, by the platform's clock as far as it is known.
    """

    id: str
    active: Integration | None
    pending: Integration | None
    at: datetime


@dataclass(frozen=True, slots=True)
class MessagePage:
    """One page of a conversation's messages.

    Attributes:
        messages: as the API gives them, oldest first.
        has_more: are there older ones?
        before_cursor: names the page of those; None where there is none.
        at: the moment from which this surely holds, by the platform's clock as far as it is known.
    """

    messages: tuple[Mapping[str, Any], ...]
    has_more: bool
    before_cursor: str | None
    at: datetime


def to_snapshot(action: str, reply: Reply) -> ConversationSnapshot:
    """Read the answer of `GET …/conversations/<id>`. Raises `NoAnswer` if it isn't one."""
    conversation = part(action, reply.body, "conversation")
    return ConversationSnapshot(
        id=text(action, conversation, "id"),
        active=_integration(action, conversation.get("activeSwitchboardIntegration")),
        pending=_pending(action, conversation.get("pendingSwitchboardIntegration")),
        at=reply.at,
    )


def to_page(action: str, reply: Reply) -> MessagePage:
    """Read the answer of `GET …/conversations/<id>/messages`. Raises `NoAnswer` if it isn't one."""
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
    """The object `name` of an answer. Raises `NoAnswer` if there is none."""
    value = body.get(name)
    if not isinstance(value, Mapping):
        raise _unexpected(action, name)
    return value


def parts(action: str, body: Mapping[str, Any], name: str) -> tuple[Mapping[str, Any], ...]:
    """The list of objects `name` of an answer. Raises `NoAnswer` if there is none."""
    value = body.get(name)
    if not isinstance(value, list) or not all(isinstance(item, Mapping) for item in value):
        raise _unexpected(action, name)
    return tuple(value)


def text(action: str, body: Mapping[str, Any], name: str) -> str:
    """The string `name` of an answer. Raises `NoAnswer` if there is none."""
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise _unexpected(action, name)
    return value


def _integration(action: str, value: object) -> Integration | None:
    match value:
        case None:
            return None
        case {**told}:
            id_, name, type_ = (_text_or_none(told.get(key)) for key in ("id", "name", "integrationType"))
            if known := id_ or name:
                return Integration(known, name, type_)
            raise _unexpected(action, "switchboard integration")
        case _:
            raise _unexpected(action, "switchboard integration")


def _pending(action: str, value: object) -> Integration | None:
    """The pending integration decides nothing: one that can't be read is no reason to know nothing."""
    with suppress(NoAnswer):
        return _integration(action, value)
    return None


def _text_or_none(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _unexpected(action: str, name: str) -> NoAnswer:
    return NoAnswer(action, status=200, detail=f"the answer has no readable {name}")
