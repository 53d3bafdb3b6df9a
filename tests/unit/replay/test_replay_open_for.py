"""How long each conversation stayed open after its end, and what may be asked of that."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bot import Chat, Flow
from bot.cli import app
from bot.flows.catalogue import Catalogue
from bot.flows.survey import survey
from bot.replay.fixture import Replay
from bot.replay.plugin import replay
from bot.replay.report import report
from bot.replay.run import Setup
from bot.sandbox.api import ApiRequest
from bot.sandbox.faults import Fault, Moment

__all__ = ["replay"]  # the fixture itself: its entry point counts only where the project is installed

TAPES = Path(__file__).parent.parent.parent / "tapes"
GRACE = timedelta(seconds=15)


async def _dawdles(chat: Chat) -> None:
    await chat.sleep(timedelta(minutes=1))


def _release_is_ignored(request: ApiRequest, moment: Moment) -> Fault | None:
    return Fault(status=200) if moment is Moment.BEFORE and request.path.endswith("/releaseControl") else None


async def _asks(chat: Chat) -> None:
    for question in ("What can I do for you?", "What is your order number?"):
        await chat.ask(question)


def _closing_with(function: Any) -> Setup:
    flows = {"asks": Flow("asks", _asks), "closing": Flow("closing", function)}
    return Setup(catalogue=Catalogue(flows, "asks", "closing"))


@pytest.mark.parametrize("name", ["ended_survey", "ended_at_once", "handed_back_after_end", "ended_with_agent_kept"])
async def test_the_survey_keeps_no_ended_conversation_open(replay: Replay, name: str) -> None:
    """Whoever holds it when the user ends: within RELEASE_GRACE and five seconds, not after the survey's timeout."""
    result = await replay(TAPES / f"{name}.jsonl", mode="pass", closing="survey", within=GRACE + timedelta(seconds=5))
    assert result.closed, [lane.why_not for lane in result.lanes]
    assert result.open_for <= GRACE + timedelta(seconds=5)


async def test_a_closing_flow_that_takes_its_time(replay: Replay) -> None:
    """Its minute is told, and fails what has to be done in less."""
    tape, setup = TAPES / "ended_mid_flow.jsonl", _closing_with(_dawdles)
    slow = await replay(tape, mode="pass", setup=setup)
    assert slow.closed
    assert timedelta(seconds=60) <= slow.open_for < timedelta(seconds=62)
    assert (await replay(tape, mode="pass", setup=setup, within=timedelta(seconds=62))).closed
    late = await replay(tape, mode="pass", setup=setup, within=timedelta(seconds=30))
    assert not late.closed
    assert "it stayed open for 60." in late.lanes[0].why_not
    assert "after its end, longer than 30 s" in late.lanes[0].why_not
    assert "closed 60." in report([slow])


@pytest.mark.long
async def test_what_is_still_open(replay: Replay) -> None:
    """Is open for longer than any time."""
    setup = Setup(catalogue=_closing_with(survey.function).catalogue, api=_release_is_ignored)
    result = await replay(TAPES / "ended_mid_flow.jsonl", mode="pass", setup=setup, until_quiet=True)
    assert result.open_for == timedelta.max
    assert result.lanes[0].open_for is None


async def test_nobody_has_ended_anything(replay: Replay) -> None:
    """Nothing was kept open."""
    assert (await replay(TAPES / "abandoned_release.jsonl")).open_for == timedelta(0)


def test_the_command_tells_it_and_fails_what_takes_longer() -> None:
    """The bot waits for RELEASE_GRACE where an agent keeps control after the end."""
    arguments = ["replay", str(TAPES / "ended_with_agent_kept.jsonl"), "--mode", "pass", "--opening", "triage"]
    wide = {"COLUMNS": "200"}
    good = CliRunner().invoke(app, [*arguments, "--within", "20s"], env=wide)
    assert good.exit_code == 0, good.output
    assert "open for" in good.stdout
    assert "15." in good.stdout
    late = CliRunner().invoke(app, [*arguments, "--within", "5s"], env=wide)
    assert late.exit_code == 1
    assert "longer than 5 s" in late.stdout
    shown = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).stdout)
    assert 15 <= shown["tapes"][0]["conversations"][0]["openFor"] < 17


def test_a_limit_that_is_no_duration_is_refused() -> None:
    """In a line, with exit code 2."""
    told = CliRunner().invoke(app, ["replay", str(TAPES / "ended_survey.jsonl"), "--within", "soon"])
    assert (told.exit_code, told.stderr.strip()) == (2, "--within: give a duration like 90s, 15m or 1h")
