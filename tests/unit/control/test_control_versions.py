"""Which flow serves a run, and what becomes of a run whose journal no longer fits its code."""

from __future__ import annotations

from dataclasses import replace

import pytest
from control_samples import BOT, BOTH_MODES, MINUTE, NOON, SECOND, Story, served, with_agent

from bot.control.facts import FlowBegan, FlowMismatched
from bot.control.history import moments
from bot.control.state import Purpose, RunStatus

in_both_modes = pytest.mark.parametrize("mode", BOTH_MODES)


def waiting(mode: str = "release") -> Story:
    """The flow has asked, and the user has answered twice, once while nothing was asked."""
    return served(mode).flow_waits(5 * MINUTE).user_says().user_says()


def test_a_run_has_the_name_of_its_flow() -> None:
    """From its first turn on; what an earlier run is told is passed over."""
    story = served().tell(FlowBegan(99, "survey", 1))
    assert (story.run.flow, story.run.version) == ("", 1)
    story.tell(FlowBegan(story.run.id, "order", 2))
    assert (story.run.flow, story.run.version) == ("order", 2)
    before = story.state
    story.flow_returns()
    assert "opening flow 'order' over" in [one.text for one in moments(before, story.state, (), NOON)]


def test_what_is_told_when_no_run_is_there() -> None:
    """A run that was stopped meanwhile is named, restarted and failed no more."""
    story = served()
    number = story.run.id
    story.flow_returns()
    before = story.state
    story.tell(FlowBegan(number, "order", 1)).tell(FlowMismatched(number, "step 3"))
    assert (story.state.run, story.state.duty, story.reports) == (None, before.duty, [])


@in_both_modes
def test_a_mismatch_counts_as_failed(mode: str) -> None:
    """It is told by its own name as well."""
    story = waiting(mode)
    story.tell(FlowMismatched(story.run.id, "step 3: the code wants ask"))
    assert (story.flow, story.state.inputs) == (None, ())
    assert story.reports == ["flow_mismatched", "flow_failed"]
    assert story.duty.reason == "opening flow failed"
    assert story.duty.action.value == mode


def test_another_run_does_not_match() -> None:
    """What an earlier turn comes to is passed over."""
    story = waiting()
    story.tell(FlowMismatched(story.run.id + 50, "step 3"))
    assert (story.reports, story.run.status) == ([], RunStatus.READY)


@in_both_modes
def test_a_run_may_begin_anew(mode: str) -> None:
    """Under another number, with the same opening, and without what was said to other questions."""
    story = waiting(mode)
    old = story.run
    story.tell(FlowMismatched(old.id, "step 3", restart=True))
    again = story.run
    assert again.id > old.id
    assert replace(again, id=old.id, since=old.since, deadline=old.deadline) == replace(
        old, status=RunStatus.READY, restarted=True, wants_input=False, until=None
    )
    assert again.deadline >= story.now + story.policy.idle
    assert (story.state.inputs, story.drops, story.reports) == ((), 0, ["flow_restarted"])


@in_both_modes
def test_only_once(mode: str) -> None:
    """Code that is never twice the same would else begin for ever."""
    story = waiting(mode)
    story.tell(FlowMismatched(story.run.id, "step 3", restart=True))
    story.tell(FlowMismatched(story.run.id, "step 1", restart=True))
    assert (story.flow, story.reports) == (None, ["flow_restarted", "flow_mismatched", "flow_failed"])


def test_a_closing_run_begins_anew_within_its_time() -> None:
    """It stays the one closing run that there is, and gets no more time."""
    story = with_agent("pass").moves(BOT, "ticketClosed").later(SECOND)
    old = story.run
    story.flow_waits(MINUTE).tell(FlowMismatched(old.id, "step 3", restart=True))
    assert (story.flow, story.run.deadline) == (Purpose.CLOSING, old.deadline)
    assert story.state.closing_run == story.run.id
