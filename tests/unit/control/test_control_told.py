"""A flow that is told something from outside has a look; nothing else changes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from control_samples import HOUR, MINUTE, served

from bot.control.facts import FlowTold
from bot.control.state import RunStatus


@pytest.mark.parametrize("wants_input", [False, True])
def test_a_flow_that_waits_takes_a_turn(wants_input: bool) -> None:
    """And goes on waiting until the same time, if that was not what it waits for."""
    story = served().flow_waits(10 * MINUTE, wants_input=wants_input)
    before = story.state
    story.later(MINUTE).tell(FlowTold())
    assert story.run.status is RunStatus.READY
    assert replace(story.state, run=before.run) == before
    until = story.run.until
    assert until
    story.flow_waits(until - story.now, wants_input=wants_input)
    assert (story.run.status, story.run.until) == (RunStatus.WAITING, until)


def test_a_flow_at_work_is_left_alone() -> None:
    """It hears of it by itself."""
    story = served()
    before = story.state
    assert story.tell(FlowTold()).state == before


def test_where_no_flow_is_nothing_happens() -> None:
    """It is over, or the user has ended the conversation."""
    for story in (served().flow_returns(), served().user_ends().later(HOUR)):
        before = story.state
        assert story.tell(FlowTold()).state == before
