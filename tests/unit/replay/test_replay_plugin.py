"""The `replay` fixture, in a test that has a running loop of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.replay.fixture import Replay
from bot.replay.plugin import replay
from bot.tape import TapeError

__all__ = ["replay"]  # the fixture itself: its entry point counts only where the project is installed

TAPES = Path(__file__).parent.parent.parent / "tapes"


async def test_a_tape_closes(replay: Replay) -> None:
    """The mode is asked for, or is the one that the tape shows."""
    result = await replay(TAPES / "ended_mid_flow.jsonl", mode="pass")

    assert result.closed
    assert result.mode == "pass"
    assert [action.call for action in result.actions] == ["PostMessage", "PostMessage", "ReleaseControl"]
    (lane,) = result.lanes
    assert result.transcript(lane.id).splitlines() == [
        "user: Hi",
        "bot: Hello! I am the assistant. What can I do for you?",
        "user: Track my order",
        "bot: What is your order number?",
        "platform: The user has left the chat.",
    ]
    with pytest.raises(KeyError):
        result.transcript("nowhere")


async def test_the_tape_shows_its_mode(replay: Replay) -> None:
    """By what the platform did when the ticket was closed."""
    assert (await replay("../../tapes/ticket_closed_pass.jsonl", closing="survey")).mode == "pass"
    assert (await replay("../../tapes/ticket_closed_release.jsonl")).mode == "release"


async def test_another_flow_is_a_difference(replay: Replay) -> None:
    """Where the tape goes on as if nothing had changed, that is told."""
    result = await replay(TAPES / "flow_complete_release.jsonl", opening="survey", mode="release")

    assert result.closed
    assert any("'How did we do?' where the tape has 'Hello!" in one.what for _, one in result.diverged)


async def test_faults_are_drawn_from_a_seed(replay: Replay) -> None:
    """All closes, whatever goes wrong."""
    for seed in range(3):
        faults = ("duplicate", "reorder", "drop", "crash", "api", "store")
        assert (await replay(TAPES / "ended_mid_flow.jsonl", mode="pass", faults=faults, seed=seed)).closed


async def test_a_tape_that_is_not_there_is_told(replay: Replay) -> None:
    """By its name."""
    with pytest.raises(TapeError, match=r"none\.jsonl: can't be read"):
        await replay("none.jsonl")
