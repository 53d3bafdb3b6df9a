"""The report of very many conversations: what is wrong is never left out, and the page stays small enough."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from bot.replay import report as reports
from bot.replay.report import report
from bot.replay.result import Lane, Result

AT = datetime(2026, 1, 5, 9, tzinfo=UTC)


def lane(number: int, holder: str = "") -> Lane:
    return Lane(f"conversation-{number:04}", AT, holder, "" if holder else "seen", False, "an event")


def test_of_many_the_good_ones_are_folded_or_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bad ones are open, and linked from the top."""
    monkeypatch.setattr(reports, "SHOWN_LIMIT", 30)
    lanes = [lane(number, "bot" if number in (5, 70) else "") for number in range(80)]

    page = report([Result("a.jsonl", "", "pass", 80, lanes)])

    assert page.count("<article") == 32
    assert page.count("<details open>") == 2
    assert "48 more conversations" in page
    for number in (5, 70):
        assert page.count(f"conversation-{number:04} <span") == 1
        assert f'href="#lane-0-{number}"' in page
        assert f'id="lane-0-{number}"' in page


def test_what_is_wrong_beyond_conversations_is_seen() -> None:
    """Without a conversation to blame."""
    page = report([Result("a.jsonl", "", "pass", 1, [lane(1)], problems=["G4: an acknowledged event is lost: e1"])])

    assert "The guarantee is broken" in page
    assert "an acknowledged event is lost" in page
