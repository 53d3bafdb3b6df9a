"""Splits a tape's deliveries into facts, each with its time and delivery."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from bot.control.reading import believable_time
from bot.sandbox.sessions import ENDED
from bot.tape import TapedDelivery
from webhooks import wire
from webhooks.events import ControlPassFailed, Event, InvalidEventError, parse_event

_PLATFORM_ID = re.compile(r"[0-9a-f]{24}")
_END_WORDS = ("left the chat", "left the conversation", "ended the c")
_OTHER_ENDS = ("ticketClosed", "transferToEmail")  # reasons of control events
_SAME_CAUSE_WITHIN = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class TapeFact:
    """One event of a tape, listed once, even if it was delivered several times.

    Attributes:
        at: time of the event: its `createdAt`, or its arrival if that is earlier or if
            `createdAt` is not credible.
        raw: the event as posted.
        event: the parsed event; None if the bot can't parse it.
    """

    at: datetime
    id: str
    conversation_id: str | None
    raw: Mapping[str, Any]
    event: Event | None


@dataclass(frozen=True, slots=True)
class Arrival:
    """A delivery with its time and event ids; None for an entry that is no object."""

    at: datetime
    body: Mapping[str, Any]
    ids: tuple[str | None, ...]


@dataclass(slots=True)
class TapeFacts:
    """The facts of a tape, or of a part of it.

    Attributes:
        happened: in order of time.
        told: in order of arrival.
        end_ids: ids of the events that report a user's end.
        ends: times of the user's ends, by conversation.
        failures: error codes of failed passes, by conversation.
        twins: ids of events that repeat another one, with the id of the first.
    """

    happened: list[TapeFact] = field(default_factory=list)
    told: list[Arrival] = field(default_factory=list)
    end_ids: set[str] = field(default_factory=set)
    ends: dict[str, list[datetime]] = field(default_factory=dict)
    failures: dict[str, list[str]] = field(default_factory=dict)
    twins: dict[str, str] = field(default_factory=dict)


def facts_of(deliveries: Iterable[TapedDelivery]) -> TapeFacts:
    """Return what happened, and when it was delivered."""
    taken = TapeFacts()
    known: set[str] = set()
    said: dict[tuple[str | None, str], str] = {}
    for delivery in deliveries:
        ids: list[str | None] = []
        for raw in delivery.events:
            if not isinstance(raw, dict):
                ids.append(None)
                continue
            event_id = wire.event_id(raw)
            ids.append(event_id)
            if event_id in known:
                continue
            known.add(event_id)
            what = wire.said_id(raw)
            first = said.setdefault((wire.conversation_id(raw), what), event_id) if what else event_id
            if first == event_id:
                _add(taken, event_id, raw, delivery.at)
            else:
                taken.twins[event_id] = first
        taken.told.append(Arrival(delivery.at, delivery.body, tuple(ids)))
    taken.happened.sort(key=_order)
    taken.told.sort(key=lambda told: told.at)
    _find_ends(taken)
    return taken


def _find_ends(taken: TapeFacts) -> None:
    """Find the users' ends in the raw events, independently of the bot's own parsing.

    A system message without its activity is an end if its text says so, or if nothing
    else on the tape explains it.
    """
    unclear: list[TapeFact] = []
    explained: dict[str, list[datetime]] = {}
    for one in taken.happened:
        payload = _object(one.raw.get("payload"))
        if one.conversation_id is None:
            continue
        if payload.get("reason") in _OTHER_ENDS:
            explained.setdefault(one.conversation_id, []).append(one.at)
        message = _object(payload.get("message"))
        activity = _object(message.get("activity")).get("type")
        if activity == ENDED:
            _note_end(taken, one)
        elif not activity and _is_system(message):
            if _says_end(message):
                _note_end(taken, one)
            else:
                unclear.append(one)
    for one in unclear:
        others = explained.get(one.conversation_id or "", ())
        if not any(abs(one.at - at) <= _SAME_CAUSE_WITHIN for at in others):
            _note_end(taken, one)


def _note_end(taken: TapeFacts, one: TapeFact) -> None:
    taken.end_ids.add(one.id)
    taken.ends.setdefault(one.conversation_id or "", []).append(one.at)


def _is_system(message: Mapping[str, Any]) -> bool:
    subtypes = _object(message.get("author")).get("subtypes")
    return isinstance(subtypes, list) and "activity" in subtypes


def _says_end(message: Mapping[str, Any]) -> bool:
    text = str(_object(message.get("content")).get("text") or "").lower()
    return any(words in text for words in _END_WORDS)


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _order(fact: TapeFact) -> tuple[datetime, str]:
    """Sort by time; within a millisecond by the platform's ascending ids."""
    return fact.at, fact.id if _PLATFORM_ID.fullmatch(fact.id) else ""


def _add(taken: TapeFacts, event_id: str, raw: Mapping[str, Any], came: datetime) -> None:
    try:
        event: Event | None = parse_event(raw)
    except InvalidEventError:
        event = None
    made = believable_time(event, came) if event else None
    at = min(made, came) if made else came
    conversation_id = wire.conversation_id(raw)
    taken.happened.append(TapeFact(at, event_id, conversation_id, raw, event))
    if conversation_id is not None and isinstance(event, ControlPassFailed):
        taken.failures.setdefault(conversation_id, []).append(
            event.payload.error.code or "switchboard_invalid_target",
        )
