"""Surveys a tape: checks it, finds the bot on it, and splits it into parts.

Conversations are independent of each other, so each part holds some of them completely,
and fits into memory.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from bot.replay.facts import Taken, take_apart
from bot.sandbox.records import CUSTOM
from bot.sandbox.switchboard import BOT
from bot.tape import TapedDelivery, TapeError, read_at, read_places
from webhooks import wire
from webhooks.events import ControlPassed, ControlReleased

PART = 2500
"""Maximum number of events per part, unless a single conversation has more."""

_AT_ONCE = timedelta(milliseconds=2)
_NO_CONVERSATION = ""  # for events that belong to no single conversation


@dataclass(frozen=True, slots=True)
class Part:
    """Some conversations of a tape.

    Attributes:
        ids: of the conversations; events of no single conversation are in every part.
        events: number of events.
        places: positions of their deliveries on the tape (for `read_at`).
    """

    ids: frozenset[str]
    events: int
    places: array[int]

    def read(self, path: Path) -> Taken:
        """Read these conversations. Raises `TapeError` if the tape has changed."""
        return take_apart(self._only(read_at(path, self.places)))

    def _only(self, deliveries: Iterator[TapedDelivery]) -> Iterator[TapedDelivery]:
        for delivery in deliveries:
            events = [event for event in delivery.events if _conversation_of(event) in self.ids]
            yield replace(delivery, body={**delivery.body, "events": events})


@dataclass(slots=True)
class Survey:
    """The result of surveying a tape.

    Attributes:
        path: the tape.
        note: its story.
        events: number of events.
        me: the name or id of the bot's switchboard integration on it.
        parts: in order of their conversations' beginnings.
    """

    path: Path
    note: str = ""
    events: int = 0
    me: str = ""
    parts: list[Part] = field(default_factory=list)

    @property
    def implied_mode(self) -> str | None:
        """The control mode that the tape shows; None if it shows none."""
        modes = (implied_mode(part.read(self.path), self.me) for part in self.parts)
        return next((mode for mode in modes if mode), None)


def survey(path: Path, me: str = "", likely: str = "") -> Survey:
    """Survey a tape.

    Args:
        path: the tape.
        me: the name or id of the bot's switchboard integration on it; empty: detect it.
        likely: like `me`, but used only if it appears on the tape.

    Raises:
        TapeError: it is broken or empty, does not show which integration is the bot, or
            never shows `me`.
    """
    found = Survey(path)
    places: dict[str, array[int]] = {}
    counts: dict[str, int] = {}
    shown: dict[str, bool] = {}
    for place, delivery in read_places(path):
        found.note = found.note or delivery.note
        found.events += len(delivery.events)
        for event in delivery.events:
            conversation_id = _conversation_of(event)
            counts[conversation_id] = counts.get(conversation_id, 0) + 1
            at = places.setdefault(conversation_id, array("Q"))
            if not at or at[-1] != place:
                at.append(place)
            if conversation_id:
                _note_integration(event, shown)
    if not found.events:
        raise TapeError(path, None, "there are no events on the tape")
    found.me = _which_is_me(path, me, likely, shown)
    found.parts = list(_cut(counts, places))
    return found


def implied_mode(taken: Taken, me: str) -> str | None:
    """The mode shown by the platform's reaction to a closed ticket or an end, or None."""
    for one in taken.happened:
        match one.event:
            case ControlPassed(payload=payload):
                active = payload.conversation.active_switchboard_integration
                ended = any(end <= one.at for end in taken.ends.get(one.conversation_id or "", ()))
                if active and me in (active.id, active.name) and (payload.reason or ended):
                    return "pass"
            case ControlReleased(payload=payload):
                ends = taken.ends.get(one.conversation_id or "", ())
                if payload.reason or any(abs(one.at - end) <= _AT_ONCE for end in ends):
                    return "release"
            case _:
                pass
    return None


def _conversation_of(event: Any) -> str:
    return (wire.conversation_id(event) if isinstance(event, dict) else None) or _NO_CONVERSATION


def _cut(counts: dict[str, int], places: dict[str, array[int]]) -> Iterator[Part]:
    common, common_places = (
        counts.pop(_NO_CONVERSATION, 0),
        places.get(_NO_CONVERSATION, array("Q")),
    )
    ids: list[str] = []
    size = common
    for conversation_id, count in counts.items():
        if ids and size + count > PART:
            yield _part(ids, size, places, common_places)
            ids, size = [], 0  # common events count once
        ids.append(conversation_id)
        size += count
    yield _part(ids, size, places, common_places)


def _part(ids: list[str], events: int, places: dict[str, array[int]], common: array[int]) -> Part:
    found = set(common).union(*(places[conversation_id] for conversation_id in ids))
    return Part(frozenset((_NO_CONVERSATION, *ids)), events, array("Q", sorted(found)))


def _note_integration(event: dict[str, Any], shown: dict[str, bool]) -> None:
    """Note the names and ids of the active integration, and whether it may be the bot."""
    active = event["payload"]["conversation"].get("activeSwitchboardIntegration")
    if isinstance(active, dict):
        names = [name for key in ("name", "id") if isinstance(name := active.get(key), str) and name]
        is_custom = active.get("integrationType") == CUSTOM
        for place, name in enumerate(names):
            shown[name] = shown.get(name, False) or (is_custom and place == 0)


def _which_is_me(path: Path, me: str, likely: str, shown: dict[str, bool]) -> str:
    if me:
        if me not in shown:
            raise TapeError(
                path,
                None,
                f"--me: {me!r} is never active on it; active are: {', '.join(shown) or '-'}",
            )
        return me
    custom = [name for name, may_be in shown.items() if may_be]
    for name in (likely, BOT):
        if name in shown:
            return name
    if len(custom) > 1:
        raise TapeError(
            path,
            None,
            f"it does not show which integration is the bot: pass --me with one of {', '.join(custom)}",
        )
    return custom[0] if custom else BOT
