"""What a run leaves behind, for the checks: played in virtual time, or by real processes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from bot.control.state import Conversation
from bot.sandbox.history import Entry
from bot.signals import Signal


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """An event in a delivery that the bot answered 2xx; `created` is when the platform first sent it."""

    at: datetime
    created: datetime
    event: Mapping[str, Any]


@dataclass(slots=True)
class Called:
    """An API request as it left the bot.

    Attributes:
        told: nothing was made to go wrong with the answer.
        unclear: the answer does not show whether it took effect.
        place: length of the platform's history once the platform had carried it out; None: it never did.
        answered: when the answer was back; None: it never was.
    """

    at: datetime
    method: str
    path: str
    body: Mapping[str, Any]
    told: bool = True
    unclear: bool = False
    place: int | None = None
    answered: datetime | None = None

    @property
    def shows_holder(self) -> bool:
        """Did it tell the bot who was active?"""
        return self._tells and not self.path.endswith("/messages")

    @property
    def shows_messages(self) -> bool:
        """Did it tell the bot what was said?"""
        return self._tells and self.path.endswith("/messages")

    @property
    def _tells(self) -> bool:
        return self.method == "GET" and self.told and self.place is not None


@dataclass(frozen=True, slots=True)
class Ordered:
    """An operator asked for a release; `against` names who it was to be taken from, in a conversation of theirs."""

    event_id: str
    at: datetime
    conversation_id: str
    against: str | None


@dataclass(slots=True)
class Record:
    """What a run leaves behind, for the checks.

    Attributes:
        closes_for_others: may the bot release what others hold after an end (has it an app key)?
        tells_holders: do events tell the bot by id or name who was active?
        is_faultless: does nothing go wrong on the way, in either direction?
        rests: did the bot come to rest within the time it was given?
        history: the platform's truth.
        states, inbox: what the bot has stored: conversations by id, and the status of each event by id.
        orders: what operators asked for.
        key, app_key: ids of the API keys that the bot acts with.
        paused: when the bot could do nothing: no process, no database, or stopped.
        cut_off: when the platform's API was down.
        log: every line that makes two runs the same or not.
    """

    closes_for_others: bool = True
    tells_holders: bool = True
    is_faultless: bool = False
    rests: bool = False
    history: list[Entry] = field(default_factory=list)
    holders: dict[str, str | None] = field(default_factory=dict)
    acknowledged: list[Acknowledged] = field(default_factory=list)
    calls: list[Called] = field(default_factory=list)
    states: dict[str, Conversation] = field(default_factory=dict)
    inbox: dict[str, str] = field(default_factory=dict)
    signals: list[tuple[datetime, Signal]] = field(default_factory=list)
    orders: list[Ordered] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    key: str = ""
    app_key: str = ""
    errors: list[str] = field(default_factory=list)
    paused: list[tuple[datetime, datetime]] = field(default_factory=list)
    cut_off: list[tuple[datetime, datetime]] = field(default_factory=list)

    def paused_between(self, since: datetime, until: datetime) -> timedelta:
        """How long the bot could do nothing at the most, by no fault of its own."""
        cut = ((max(since, began), min(until, ended)) for began, ended in self.paused)
        return sum((ended - began for began, ended in cut if ended > began), timedelta(0))
