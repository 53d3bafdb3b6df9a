"""The record of a run for the checks, in virtual time or by real processes."""

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
    """An event in a delivery answered 2xx; `created` is when it was first sent."""

    at: datetime
    created: datetime
    event: Mapping[str, Any]


@dataclass(slots=True)
class Called:
    """An API request sent by the bot.

    Attributes:
        told: no fault affected the response.
        unclear: the response does not show whether the request took effect.
        place: length of the platform's history after the request took effect; None if it
            never did.
        answered: when the response arrived; None if it never did.
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
        """Whether it told the bot the active integration."""
        return self._tells and not self.path.endswith("/messages")

    @property
    def shows_messages(self) -> bool:
        """Whether it told the bot the messages."""
        return self._tells and self.path.endswith("/messages")

    @property
    def _tells(self) -> bool:
        return self.method == "GET" and self.told and self.place is not None


@dataclass(frozen=True, slots=True)
class Ordered:
    """An operator's order to release; `against` is the holder to take control from."""

    event_id: str
    at: datetime
    conversation_id: str
    against: str | None


@dataclass(slots=True)
class Record:
    """The record of a run, for the checks.

    Attributes:
        closes_for_others: whether the bot may release what others hold after an end
            (it has an app key).
        tells_holders: whether events name the active integration, by id or name.
        is_faultless: whether there are no faults, in either direction.
        rests: whether the bot came to rest within the time limit.
        history: the platform's history, which is the truth.
        states, inbox: the bot's stored data: conversations by id, and the status of each
            event by id.
        orders: orders of operators.
        key, app_key: ids of the bot's API keys.
        paused: periods in which the bot could not work: no process, no database, stopped.
        cut_off: periods in which the platform's API was down.
        log: lines that must be the same in two runs of the same seed.
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
        """The longest time in which the bot could not work, through no fault of its own."""
        cut = ((max(since, began), min(until, ended)) for began, ended in self.paused)
        return sum((ended - began for began, ended in cut if ended > began), timedelta(0))
