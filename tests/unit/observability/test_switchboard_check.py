"""Settings of the switchboard by which the bot would wait for ever are noticed when messages come in."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from bot.observability.switchboard_check import MIN_MESSAGES, SwitchboardCheck
from bot.signals import Level, Signal
from bot.troubles import CALM, Troubles
from webhooks.inbox import NewEvent

BOT = {"id": "m-bot", "name": "bot", "integrationId": "mine"}
DESK = {"id": "m-desk", "name": "desk", "integrationId": "desk"}


class Noticed:
    """What was noticed in messages."""

    def __init__(self, me: str) -> None:
        self.signals: list[Signal] = []
        self.now = 0.0
        self.troubles = Troubles(self.signals.append, lambda: self.now)
        self.check = SwitchboardCheck(me, self.troubles)

    def message(self, active: dict[str, Any] | None, type_: str = "conversation:message") -> None:
        """A message comes in."""
        shown = {"id": "c", "activeSwitchboardIntegration": active} if active else {"id": "c"}
        self.raw(json.dumps({"payload": {"conversation": shown, "message": {"content": "secret words"}}}), type_)

    def raw(self, body: str, type_: str = "conversation:message") -> None:
        """An event comes in."""
        self.check.look([NewEvent("e", "c", type_, body.encode(), datetime(2026, 1, 1, tzinfo=UTC))])
        self.now += CALM
        self.troubles.look()

    @property
    def told(self) -> list[tuple[str, object]]:
        """The lines so far."""
        return [(signal.event, signal.fields["where"]) for signal in self.signals]


def test_the_id_of_the_integration() -> None:
    """A common mix-up: told once, with what to write."""
    noticed = Noticed("mine")
    for _ in range(20):
        noticed.message(BOT)
    assert noticed.told == [("trouble_began", "SUNSHINE_SWITCHBOARD_INTEGRATION")]
    assert noticed.signals[0].level is Level.ERROR
    assert "to bot" in str(noticed.signals[0].fields["todo"])
    assert "secret words" not in str(noticed.signals)


def test_nobody_is_ever_active() -> None:
    """The switchboard is off, or has no default. It is over once somebody is active."""
    noticed = Noticed("m-bot")
    for _ in range(MIN_MESSAGES - 1):
        noticed.message(None)
    assert noticed.told == []
    for _ in range(20):
        noticed.message(None)
    assert noticed.told == [("trouble_began", "nobody is active")]
    noticed.message(DESK)
    assert noticed.told[1:] == [("trouble_over", "nobody is active")]


def test_all_is_well() -> None:
    """Once the bot was active, by its id or its name; also where others are, and where conversations are over."""
    for me in ("m-bot", "bot"):
        noticed = Noticed(me)
        noticed.message(DESK)
        noticed.message(BOT)
        for _ in range(20):
            noticed.message(None)
        assert noticed.told == []


def test_what_can_not_be_read_says_nothing() -> None:
    """Nor does any other event."""
    noticed = Noticed("m-bot")
    for _ in range(20):
        noticed.raw("no json")
        noticed.raw("[]")
        noticed.message(None, "conversation:read")
    assert noticed.told == []
