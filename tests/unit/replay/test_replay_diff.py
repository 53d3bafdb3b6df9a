"""The comparison with an earlier run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bot.cli import app
from bot.replay.diff import BaselineError, read_baseline

TAPE = str(Path(__file__).parent.parent.parent / "tapes" / "flow_complete_release.jsonl")


def run(*arguments: str) -> str:
    opening = [] if "--opening" in arguments else ["--opening", "triage"]
    return CliRunner().invoke(app, ["replay", TAPE, "--mode", "release", *opening, *arguments]).stdout


def test_the_same_run_has_no_difference(tmp_path: Path) -> None:
    """Times and reads don't count."""
    (tmp_path / "old.json").write_text(run("--json"))

    assert "The bot behaves as in the baseline." in run("--baseline", str(tmp_path / "old.json"))


def test_another_flow_shows_as_a_difference(tmp_path: Path) -> None:
    """What was said then, and what is said now."""
    (tmp_path / "old.json").write_text(run("--json"))
    shown = run("--baseline", str(tmp_path / "old.json"), "--opening", "survey")

    assert "- PostMessage Hello! I am the assistant." in shown
    assert "+ PostMessage How did we do?" in shown


def test_another_order_is_told_as_such(tmp_path: Path) -> None:
    """The same actions, the other way round."""
    old = json.loads(run("--json"))
    old["tapes"][0]["conversations"][0]["actions"].reverse()
    (tmp_path / "old.json").write_text(json.dumps(old))

    assert "the same, in another order:" in run("--baseline", str(tmp_path / "old.json"))


def test_a_conversation_that_is_missing_is_told(tmp_path: Path) -> None:
    """In either run."""
    old = json.loads(run("--json"))
    old["tapes"][0]["conversations"][0]["id"] = "another"
    (tmp_path / "old.json").write_text(json.dumps(old))
    shown = run("--baseline", str(tmp_path / "old.json"))

    assert "conversation another: only in the baseline" in shown
    assert ": not in the baseline" in shown


@pytest.mark.parametrize(
    ("content", "problem"),
    [("{", "not JSON"), ("[]", "not a result"), ('{"format": 0, "tapes": []}', "has format 0")],
)
def test_what_cannot_be_compared_is_refused(tmp_path: Path, content: str, problem: str) -> None:
    """With the file's name, and exit code 2."""
    path = tmp_path / "old.json"
    path.write_text(content)

    with pytest.raises(BaselineError, match=problem):
        read_baseline(path)
    assert CliRunner().invoke(app, ["replay", TAPE, "--baseline", str(path)]).exit_code == 2
