"""What a rule changes is known by name and type: a misspelt one is an error of mypy."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import get_type_hints

import pytest

from bot.control.changes import ConversationChanges, DutyChanges, EndedChanges, RunChanges
from bot.control.state import Conversation, Duty, Ended, Run

WRONG = """
from datetime import datetime
from bot.control.draft import Draft

def rule(draft: Draft, now: datetime) -> None:
    draft.set(watch_at=now)
    draft.set(watchat=now)
    draft.set(watches="one")
    draft.set_duty(stage="act")
    draft.set_ended(prof=None)
    if draft.state.run:
        draft.set_run(draft.state.run, until=7)
"""


@pytest.mark.parametrize(
    ("changes", "of"),
    [(ConversationChanges, Conversation), (RunChanges, Run), (DutyChanges, Duty), (EndedChanges, Ended)],
)
def test_every_attribute(changes: type, of: type) -> None:
    """With the type that it has."""
    hints = get_type_hints(of)
    assert get_type_hints(changes) == {field.name: hints[field.name] for field in fields(of)}


def test_what_is_wrong_is_refused(tmp_path: Path) -> None:
    """Each of five wrong changes, and not the right one."""
    source = tmp_path / "rule.py"
    source.write_text(WRONG)
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), str(source)]
    told = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own environment
    lines = [int(line.split(":")[1]) for line in told.stdout.splitlines() if ": error:" in line]
    assert lines == [7, 8, 9, 10, 12], told.stdout
