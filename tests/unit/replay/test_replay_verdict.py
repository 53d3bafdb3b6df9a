"""The verdict: what ends must close, whatever the bot makes of it; what goes on may go on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiers import some

import webhooks.messages
from bot.control.policy import Policy
from bot.replay.result import Result
from bot.replay.run import Setup, replay
from bot.sandbox.switchboard import BOT
from bot.tape import read_tape, tape_line

TAPES = Path(__file__).parent.parent.parent / "tapes"
SETUP = Setup(("bot.sandbox.demo_flows", "bot.flows.survey"), "demo", "", Policy(me=BOT, app_key=True))


def changed(tape: Path, name: str, change: Callable[[dict[str, Any]], None]) -> Path:
    """A copy of a kept tape in which the message of each end is changed."""
    with tape.open("wb") as file:
        for delivery in read_tape(TAPES / f"{name}.jsonl"):
            for event in delivery.events:
                message = event["payload"].get("message") or {}
                if message.get("activity", {}).get("type") == "conversation:endedByUser":
                    change(event)
            file.write(tape_line(delivery))
    return tape


def played(tape: Path, mode: str = "pass", **more: Any) -> Result:
    return replay([tape], Setup(**{name: getattr(SETUP, name) for name in Setup.__dataclass_fields__} | more), [mode])[
        0
    ]


@pytest.mark.parametrize("mode", some(["pass", "release"]))
def test_a_tape_may_stop_at_any_moment(mode: str, tmp_path: Path) -> None:
    """A flow that waits for its user is at work; nothing is wrong with that."""
    for name in ("ended_mid_flow", "flow_complete_pass", "widget_opened", "agent_writes"):
        lines = (TAPES / f"{name}.jsonl").read_text().splitlines(keepends=True)
        for count in range(1, len(lines)):
            tape = tmp_path / f"{name}.{count}.jsonl"
            tape.write_text("".join(lines[:count]))

            assert played(tape, mode).closed, (name, count)
            assert played(tape, mode, until_quiet=True).closed, (name, count)


def test_an_end_that_the_bot_does_not_understand_stays_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What has ended is read from the tape, and not as the bot reads it."""
    monkeypatch.setattr(webhooks.messages, "_ENDED_BY_USER", "something else")

    for until_quiet in (False, True):
        result = played(TAPES / "ended_mid_flow.jsonl", until_quiet=until_quiet)
        assert not result.closed
        assert "it has ended" in result.lanes[0].why_not


def test_an_end_of_an_unknown_kind_stays_open(tmp_path: Path) -> None:
    """As a platform of tomorrow might tell it."""
    result = played(
        changed(tmp_path / "a.jsonl", "ended_mid_flow", lambda event: event.update(type="conversation:over"))
    )

    assert not result.closed


def test_an_end_that_cannot_be_parsed_is_read(tmp_path: Path) -> None:
    """The bot sets it aside, and reads how things stand."""

    def spoil(event: dict[str, Any]) -> None:
        event["type"] = 7

    result = played(changed(tmp_path / "a.jsonl", "ended_mid_flow", spoil))

    assert len(result.set_aside) == 1
    assert result.lanes[0].closed


def test_an_end_without_an_id_is_an_end(tmp_path: Path) -> None:
    """Nothing hangs on the id of its message."""

    def spoil(event: dict[str, Any]) -> None:
        event["payload"]["message"]["id"] = {"no": "id"}

    result = played(changed(tmp_path / "a.jsonl", "ended_mid_flow", spoil))

    assert result.set_aside == []
    assert result.closed


def test_a_system_message_without_its_activity_is_an_end(tmp_path: Path) -> None:
    """Unless something else explains it: the bot reads it back, and the model of the platform knows."""

    def strip(event: dict[str, Any]) -> None:
        del event["payload"]["message"]["activity"]
        event["payload"]["message"]["content"]["text"] = "Der Benutzer ist gegangen."

    result = played(changed(tmp_path / "a.jsonl", "ended_mid_flow", strip))

    assert result.closed
    assert result.lanes[0].closed
    lines = (TAPES / "ticket_closed_pass.jsonl").read_text().replace(', "activity":', ', "was":')
    other = tmp_path / "b.jsonl"
    kept = [line for line in lines.splitlines(keepends=True) if "endedByUser" not in line]
    other.write_text("".join(kept).replace('"activity":{"type":"ticket:closed"},', ""))
    assert "ticketClosed" in other.read_text()
    assert played(other, closing="survey").lanes[0].ended_at is None


def test_a_release_after_the_end_is_owed_by_the_bot(tmp_path: Path) -> None:
    """In release mode too, if it came too late to be the platform's: who does not release, does not close."""
    tape = tmp_path / "late.jsonl"
    text = (TAPES / "ended_control_event_lost.jsonl").read_text()
    assert "switchboard:releaseControl" not in text
    last = json.loads(text.splitlines()[-1])
    event = last["body"]["events"][0]
    conversation = {key: value for key, value in event["payload"]["conversation"].items() if "active" not in key}
    at = "2026-01-05T09:00:15.100Z"
    release = {
        "id": "f" * 24,
        "createdAt": at,
        "type": "switchboard:releaseControl",
        "payload": {"conversation": conversation},
    }
    ended = json.loads(text.splitlines()[-2])["body"]["events"][0]["createdAt"]
    assert ended < at
    tape.write_text(text + json.dumps({"at": at, "body": {**last["body"], "events": [release]}}) + "\n")

    result = played(tape, "release")

    assert result.closed
    assert [action.call for action in result.actions][-1] == "ReleaseControl"
