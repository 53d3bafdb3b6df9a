"""The kept tapes: each row of the mode table, played again, closes as it did; and not, once the release is broken."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from make_tapes import FLOWS, FOLDER, TAPES, Tape, make
from tiers import some
from typer.testing import CliRunner

from bot.cli import app
from bot.control.policy import Policy
from bot.replay.result import Result, to_json
from bot.replay.run import Setup, replay
from bot.sandbox.api import ApiRequest
from bot.sandbox.faults import Fault, Moment
from bot.sandbox.switchboard import BOT
from bot.sunshine import NotOurs, SunshineClient, SunshineError, Unclear
from bot.tape import read_tape

NAMES = [tape.name for tape in TAPES]
LOSSY = {"control_events_lost", "ended_control_event_lost"}  # whose doing it was shows only by events that are missing
NOT_THE_BOTS = {"conversation_removed", "user_removed", "ticket_closed_release"}  # nothing is left to release
ENDING = [tape for tape in TAPES if tape.name not in NOT_THE_BOTS]
# A conversation that stays open is played for a day, which takes seconds.
SOME_ENDING = some(ENDING)


def played(tape: Tape, mode: str | None = None, **more: object) -> Result:
    policy = Policy(me=BOT, app_key=True)
    given = Setup(FLOWS, "demo", tape.closing, policy, tape.pass_to, until_quiet=True)
    setup = Setup(**{name: getattr(given, name) for name in Setup.__dataclass_fields__} | more)
    return replay([FOLDER / f"{tape.name}.jsonl"], setup, [mode or tape.mode])[0]


def release_is_ignored(request: ApiRequest, moment: Moment) -> Fault | None:
    """The platform answers 200 to every release, and nothing comes of it."""
    return Fault(status=200) if moment is Moment.BEFORE and request.path.endswith("/releaseControl") else None


@pytest.mark.parametrize("tape", TAPES, ids=NAMES)
def test_kept_tapes_are_what_the_sandbox_makes(tape: Tape) -> None:
    """The files in the folder are those that `make_tapes.py` writes."""
    assert list(read_tape(FOLDER / f"{tape.name}.jsonl")) == make(tape)


def test_every_kept_tape_tells_its_story() -> None:
    """The first line has a note."""
    assert all(next(read_tape(FOLDER / f"{name}.jsonl")).note for name in NAMES)


@pytest.mark.parametrize("tape", TAPES, ids=NAMES)
def test_the_same_bot_does_the_same(tape: Tape) -> None:
    """All closes, and nothing is different from the tape."""
    result = played(tape)

    assert result.closed, [lane.why_not for lane in result.lanes]
    if tape.name not in LOSSY:
        assert result.diverged == []


@pytest.mark.parametrize("mode", ["release", "pass"])
@pytest.mark.parametrize("tape", some(TAPES, every=4), ids=NAMES)
def test_every_tape_closes_in_both_modes(tape: Tape, mode: str) -> None:
    """Also where the platform of the tape acts as in the other mode."""
    assert played(tape, mode).closed


@pytest.mark.parametrize("tape", some(TAPES, every=4), ids=NAMES)
def test_the_same_tape_gives_the_same_json(tape: Tape) -> None:
    """Byte by byte, with faults too."""
    runs = [
        json.dumps(to_json([played(tape, faults=("duplicate", "reorder", "drop", "crash", "api"), seed=7)]))
        for _ in range(2)
    ]

    assert runs[0] == runs[1]


@pytest.mark.parametrize("tape", SOME_ENDING, ids=[tape.name for tape in ENDING])
def test_a_broken_release_leaves_each_ended_conversation_open(tape: Tape) -> None:
    """In pass mode nobody else releases: the conversation, what it owes, and the last fact are named."""
    result = played(tape, "pass", api=release_is_ignored)

    assert not result.closed
    (lane,) = result.lanes
    assert lane.duty is not None
    assert lane.duty.action == "release"
    assert lane.id in lane.why_not
    assert "duty: release" in lane.why_not
    assert "last fact: " in lane.why_not
    assert lane.last_fact != "none"


@pytest.mark.parametrize("error", [None, Unclear("release", detail="broken"), NotOurs("release", status=403)], ids=str)
@pytest.mark.parametrize("tape", some(ENDING, every=8), ids=[tape.name for tape in ENDING])
def test_the_command_says_what_stays_open(
    tape: Tape, error: SunshineError | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The release does nothing, fails, or is always refused: exit code 1, and a line with all that is known."""

    async def does_nothing(*_: object) -> None:
        if error:
            raise error

    monkeypatch.setattr(SunshineClient, "release_control", does_nothing)
    path = FOLDER / f"{tape.name}.jsonl"
    flows = ["--flows", ",".join(FLOWS), "--opening", "demo", "--closing", tape.closing]
    told = CliRunner().invoke(app, ["replay", str(path), "--mode", "pass", *flows])

    (conversation_id,) = {
        event["payload"]["conversation"]["id"] for delivery in read_tape(path) for event in delivery.events
    }
    assert told.exit_code == 1
    (line,) = (line for line in told.stdout.splitlines() if line.startswith("failed"))
    assert f"{conversation_id}: it has ended, but " in line
    assert " is active" in line
    assert "duty: release (" in line
    assert "last fact: " in line
    assert "last fact: none" not in line


@pytest.mark.long
@pytest.mark.timeout(400)
def test_another_process_writes_the_same_bytes() -> None:
    """Whatever Python's hashes are, with faults too."""
    command = [sys.executable, "-m", "bot", "replay", str(FOLDER), "--mode", "both", "--opening", "triage", "--json"]
    faults = ["--fault", "duplicate,reorder,drop,lost,crash,api,store", "--seed", "3"]
    written = {
        subprocess.run(  # noqa: S603 - our own program
            [*command, *faults],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            timeout=180,
            check=False,
        ).stdout
        for seed in ("1", "2")
    }

    (text,) = written
    assert len(json.loads(text)["tapes"]) == 2 * len(TAPES)


def test_the_command_closes_a_folder(tmp_path: Path) -> None:
    """Exit code 0, and JSON that says so."""
    told = CliRunner().invoke(app, ["replay", str(FOLDER), "--mode", "both", "--opening", "triage", "--json"])

    assert told.exit_code == 0, told.stdout
    shown = json.loads(told.stdout)
    assert shown["closed"]
    assert len(shown["tapes"]) == 2 * len(TAPES)
