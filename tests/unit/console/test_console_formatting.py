"""Times and states in words."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bot.console.formatting import action, age, badges, moment, owes
from bot.control.state import Action, Conversation, Duty, Ended, Proof, Stage
from bot.store.operators import Listed

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DUTY = Duty(1, Action.RELEASE, "flow complete", NOW, NOW, Stage.ACT)
QUIET = Listed(Conversation("c1"), NOW, NOW, NOW)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5, "0 s"),
        (0.9, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (3599, "59 min"),
        (3600, "1 h"),
        (3660, "1 h 1 min"),
        (86_399, "23 h 59 min"),
        (86_400, "1 d"),
        (90_061, "1 d 1 h"),
    ],
)
def test_age(seconds: float, words: str) -> None:
    """In its two largest units."""
    assert age(timedelta(seconds=seconds)) == words


def test_moment() -> None:
    """To the second."""
    assert moment(NOW) == "2026-03-01 12:00:00"


def test_badges() -> None:
    """Every standing has its word."""
    owed = replace(QUIET.state, duty=DUTY)
    ended = replace(QUIET.state, ended=Ended(NOW, NOW))
    closed = replace(QUIET.state, ended=Ended(NOW, NOW, proof=Proof("read", NOW)))
    assert badges(QUIET, NOW) == []
    assert badges(replace(QUIET, state=owed, held_since=NOW), NOW) == ["held", "owed"]
    assert badges(replace(QUIET, state=owed), NOW + timedelta(minutes=2)) == ["overdue"]
    taken = replace(QUIET.state, duty=replace(DUTY, action=Action.TAKE))
    assert badges(replace(QUIET, state=taken), NOW + timedelta(minutes=2)) == []
    assert badges(replace(QUIET, state=ended, failed_at=NOW), NOW) == ["ended", "failed"]
    assert badges(replace(QUIET, state=closed), NOW) == ["released"]
    assert badges(replace(QUIET, state=replace(QUIET.state, gone=True)), NOW) == ["gone"]


def test_owes() -> None:
    """What and why."""
    assert owes(DUTY) == "release: flow complete"
    assert action(replace(DUTY, action=Action.PASS, target="sales")) == "pass to sales"
    assert action(replace(DUTY, action=Action.TAKE, target="bot")) == "take-up of control"
