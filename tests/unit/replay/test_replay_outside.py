"""Tapes as other people bring them: half told, told twice, dated by clocks that are wrong. All end closed."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.control.policy import Policy
from bot.replay.result import Result
from bot.replay.run import Setup, replay
from bot.sandbox.switchboard import BOT

Event = dict[str, Any]

NINE = datetime(2026, 1, 5, 9, tzinfo=UTC)
ME = {"id": "sb1", "name": BOT, "integrationId": "c1", "integrationType": "custom"}
END = {"author": {"type": "business", "subtypes": ["activity"]}, "activity": {"type": "conversation:endedByUser"}}
SETUP = Setup(("bot.sandbox.demo_flows",), "demo", "", Policy(me=BOT, app_key=True))


def told(seconds: float, id_: str, message: Event, active: object = ME, **changes: Any) -> tuple[float, Event]:
    """A message of `conv1`, and when it came."""
    at = (NINE + timedelta(seconds=seconds)).isoformat()
    conversation = {"id": "conv1", "activeSwitchboardIntegration": active}
    payload = {"conversation": conversation, "message": {"id": f"m-{id_}", "received": at, **message}}
    return seconds, {"id": id_, "createdAt": at, "type": "conversation:message", "payload": payload, **changes}


def word(seconds: float, id_: str, **changes: Any) -> tuple[float, Event]:
    """The user says hi."""
    return told(seconds, id_, {"author": {"type": "user", "userId": "ada"}, "content": {"text": "hi"}}, **changes)


def played(folder: Path, mode: str, *events: tuple[float, Event]) -> Result:
    """What the bot makes of these, each in a delivery of its own."""
    tape = folder / "a.jsonl"
    with tape.open("w") as file:
        for seconds, event in events:
            body = {"app": {"id": "a"}, "webhook": {"id": "w", "version": "v2"}, "events": [event]}
            file.write(json.dumps({"at": (NINE + timedelta(seconds=seconds)).isoformat(), "body": body}) + "\n")
    return replay([tape], SETUP, [mode])[0]


def said(result: Result) -> int:
    """How often the bot has spoken."""
    return sum(spoken.who == "bot" for lane in result.lanes for spoken in lane.messages)


def passes(result: Result) -> list[str]:
    """What control was passed to."""
    return [action.what for lane in result.lanes for action in lane.actions if action.call == "PassControl"]


both_modes = pytest.mark.parametrize("mode", ["pass", "release"])


@both_modes
@pytest.mark.parametrize("active", [{"name": BOT}, {}, {"id": None, "name": BOT}, "somebody", {"id": []}], ids=repr)
def test_the_end_with_an_active_integration_that_is_half_told(tmp_path: Path, mode: str, active: object) -> None:
    """It is an end."""
    result = played(tmp_path, mode, word(0, "e1"), told(9, "e2", END, active))
    assert result.closed, [lane.why_not for lane in result.lanes]
    assert passes(result) == []


@both_modes
@pytest.mark.parametrize("ahead", [0.9, 1.1, 2, 90, 7200, 10**9, -2, -90, -7200], ids=str)
def test_a_users_clock(tmp_path: Path, mode: str, ahead: float) -> None:
    """However far it is ahead or behind, the end that follows is an end."""
    stamp = (NINE + timedelta(seconds=1 + ahead)).isoformat()
    _, hi = word(1, "e1", createdAt=stamp)
    hi["payload"]["message"]["received"] = stamp
    result = played(tmp_path, mode, (1, hi), told(2, "e2", END))
    assert result.closed, [lane.why_not for lane in result.lanes]
    assert passes(result) == []


@pytest.mark.parametrize("year", ["2099", "9999"])
def test_a_users_clock_shows_a_year_to_come(tmp_path: Path, year: str) -> None:
    """Nothing is believed for good."""
    _, hi = word(1, "e1", createdAt=f"{year}-01-01T00:00:00Z")
    result = played(tmp_path, "pass", word(0, "e0"), (1, hi), told(2, "e2", END))
    assert result.closed, [lane.why_not for lane in result.lanes]


@both_modes
@pytest.mark.parametrize(
    "metadata",
    [{"__zendesk_msg.agent.id": "__trigger"}, {"__zendesk_msg.source_type": "sunco_web"}, {"type": "csat"}],
    ids=str,
)
def test_what_no_person_wrote(tmp_path: Path, mode: str, metadata: Event) -> None:
    """The flow goes on, and nobody is given the conversation."""
    automated = {"author": {"type": "business"}, "source": {"type": "zd:agentWorkspace"}, "metadata": metadata}
    result = played(tmp_path, mode, word(0, "e1"), told(5, "e2", automated))
    assert result.closed
    assert passes(result) == []
    assert {lane.holder for lane in result.lanes} == {"bot"}


def the_same_word(_: Path) -> list[tuple[float, Event]]:
    return [word(seconds, f"e{seconds}", payload=word(0, "e0")[1]["payload"]) for seconds in (0, 0.5, 60)]


@both_modes
def test_one_word_under_three_event_ids(tmp_path: Path, mode: str) -> None:
    """It is answered once."""
    once = played(tmp_path, mode, word(0, "e0"))
    result = played(tmp_path, mode, *the_same_word(tmp_path))
    assert result.closed, (result.problems, [lane.why_not for lane in result.lanes])
    assert said(result) == said(once) > 0


def _reversed(events: list[tuple[float, Event]]) -> list[tuple[float, Event]]:
    return events[::-1]


@pytest.mark.parametrize("order", [list, _reversed])
def test_two_words_are_two(tmp_path: Path, order: Callable[[Any], Any]) -> None:
    """Each has an id of its own."""
    result = played(tmp_path, "release", *order([word(0, "e0"), word(0, "e1")]), told(30, "e2", END))
    assert result.closed, [lane.why_not for lane in result.lanes]
    assert said(result) > said(played(tmp_path, "release", word(0, "e0"), told(30, "e2", END)))
