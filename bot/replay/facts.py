"""The deliveries of a tape, taken apart: what happened on the platform, when, and in which delivery it was told."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from bot.replay.tape import TapedDelivery
from webhooks import wire
from webhooks.events import ControlPassFailed, ConversationMessage, Event, InvalidEvent, event_time, parse_event
from webhooks.messages import Message

_PLATFORM_ID = re.compile(r"[0-9a-f]{24}")
_END_WORDS = ("left the chat", "left the conversation", "ended the c")


@dataclass(frozen=True, slots=True)
class Happening:
    """One event of a tape, once, however often it was delivered.

    Attributes:
        at: when it happened: its `createdAt`, or when it came if that is sooner or all that is known.
        raw: as posted.
        event: as understood; None where it can't be.
    """

    at: datetime
    id: str
    conversation_id: str | None
    raw: Mapping[str, Any]
    event: Event | None


@dataclass(frozen=True, slots=True)
class Told:
    """A delivery: when it came, and the ids of its events. Entries that are no objects go along as they are."""

    at: datetime
    body: Mapping[str, Any]
    ids: tuple[str | None, ...]


@dataclass(slots=True)
class Taken:
    """A tape, or a part of it, taken apart.

    Attributes:
        happened: in the order of their times.
        told: in the order in which they came.
        ends: for each conversation, when its user ends it.
        failures: for each conversation, the codes with which passes fail.
    """

    happened: list[Happening] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)
    ends: dict[str, list[datetime]] = field(default_factory=dict)
    failures: dict[str, list[str]] = field(default_factory=dict)


def take_apart(deliveries: Iterable[TapedDelivery]) -> Taken:
    """What happened, and when it was told."""
    taken = Taken()
    known: set[str] = set()
    for delivery in deliveries:
        ids: list[str | None] = []
        for raw in delivery.events:
            if not isinstance(raw, dict):
                ids.append(None)
                continue
            event_id = wire.event_id(raw)
            ids.append(event_id)
            if event_id not in known:
                known.add(event_id)
                _add(taken, event_id, raw, delivery.at)
        taken.told.append(Told(delivery.at, delivery.body, tuple(ids)))
    taken.happened.sort(key=_order)
    taken.told.sort(key=lambda told: told.at)
    return taken


def is_end(message: Message) -> bool:
    """Does it tell the user's end, or is it an activity without its kind whose text says so?"""
    if message.is_users_end:
        return True
    text = (message.content.text or "").lower()
    return message.may_be_end and any(words in text for words in _END_WORDS)


def _order(happening: Happening) -> tuple[datetime, str]:
    """The platform's ids ascend, which decides within a millisecond; otherwise the order of the tape does."""
    return happening.at, happening.id if _PLATFORM_ID.fullmatch(happening.id) else ""


def _add(taken: Taken, event_id: str, raw: Mapping[str, Any], came: datetime) -> None:
    try:
        event: Event | None = parse_event(raw)
    except InvalidEvent:
        event = None
    made = event_time(event) if event else None
    at = min(made, came) if made else came
    conversation_id = wire.conversation_id(raw)
    taken.happened.append(Happening(at, event_id, conversation_id, raw, event))
    if conversation_id is None:
        return
    if isinstance(event, ConversationMessage) and is_end(event.payload.message):
        taken.ends.setdefault(conversation_id, []).append(at)
    if isinstance(event, ControlPassFailed):
        taken.failures.setdefault(conversation_id, []).append(event.payload.error.code or "switchboard_invalid_target")
